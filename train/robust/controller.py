"""How many steps (of an attack, or replays of a batch) the next epoch takes: the controllers of robust training.

Each has `steps`, what the coming epoch takes, and ``update(epoch, gradient_magnitude, accuracy=, progress=, over=)``,
to be called after each epoch (counted from 0), which returns the steps for the next. `state()` is all that a resumed
run needs to go on, a dictionary of JSON values for `restore`. A controller combines with any method, but that FREE,
DEAT and YOPO take at least one step, and that YOPO measures no magnitude.
"""

import dataclasses


@dataclasses.dataclass(kw_only=True)
class Fixed:
    """The same number of steps in every epoch."""

    steps: int

    def update(self, epoch, gradient_magnitude=None, *, accuracy=None, progress=None, over=None):
        return self.steps

    @property
    def most(self):
        """The most steps that it will take."""
        return getattr(self, "maximum", self.steps)

    def state(self):
        return dict(vars(self))

    def restore(self, state):
        vars(self).update(state)


@dataclasses.dataclass(kw_only=True)
class Delayed(Fixed):
    """One more every `delay` epochs: min(epoch // delay + 1, maximum), as DEAT-d (Wang et al. 2021, section 3)."""

    delay: int
    maximum: int
    steps: int = 1

    def update(self, epoch, gradient_magnitude=None, *, accuracy=None, progress=None, over=None):
        self.steps = min((epoch + 1) // self.delay + 1, self.maximum)
        return self.steps


@dataclasses.dataclass(kw_only=True)
class AccuracyThreshold(Fixed):
    """One more after an epoch whose accuracy on its own adversarials exceeds `threshold` (a share), as DEAT-p."""

    threshold: float
    maximum: int
    steps: int = 1

    def update(self, epoch, gradient_magnitude=None, *, accuracy=None, progress=None, over=None):
        if accuracy > self.threshold:
            self.steps = min(self.steps + 1, self.maximum)
        return self.steps


@dataclasses.dataclass(kw_only=True)
class Linear(Fixed):
    """From `first` to `last` linearly over training, as Amata (Ye et al. 2020): rounded, and at `last` in the last
    epoch [D]; or, where it rounds `down`, by the share of the run that is over, which ends one below `last`, as DEAT's
    code has it [P]."""

    first: int
    last: int
    down: bool = False
    steps: int = 0

    def __post_init__(self):
        self.steps = self.first

    @property
    def most(self):
        return self.last

    def update(self, epoch, gradient_magnitude=None, *, accuracy=None, progress=None, over=None):
        """progress: the share of the way to the last epoch, over: of the run; both of the budget where one ends it."""
        if self.down:
            self.steps = self.first + int((self.last - self.first) * over + 1e-9)
        else:
            self.steps = round(self.first + (self.last - self.first) * min(progress, 1.0))
        return self.steps


class MagnitudeGuided:
    """One more where the gradient magnitude has outgrown a threshold (DEAT: Wang et al. 2021, algorithm 2).

    After epoch 0 the steps grow by one; after epoch 1 the threshold is gamma times its magnitude; from then on an
    epoch whose magnitude exceeds the threshold moves it to gamma times that magnitude and adds a step, up to
    `maximum`. start: the steps of epoch 0. rule: "2022", the above, or "2021", that of the published table of the M+
    methods: steps grow also, at any magnitude, while steps * step_share < 1, where step_share is the step size as a
    share of epsilon; and such growth moves the threshold too. gamma: None until a set-up says it (Method.tailored).
    """

    def __init__(self, gamma, maximum, start=1, *, rule="2022", step_share=None):
        if rule not in ("2021", "2022") or (rule == "2021") != (step_share is not None):
            raise ValueError(f"rule is {rule!r} with step_share={step_share}, expected '2022', or '2021' with a share")
        if not ((gamma is None or gamma > 0) and 0 <= start <= maximum):
            raise ValueError(
                f"gamma={gamma}, start={start}, maximum={maximum}: expected gamma > 0, start in 0..maximum"
            )
        self.gamma, self.maximum, self.start, self.rule, self.step_share = gamma, maximum, start, rule, step_share
        self.steps, self.threshold = start, None

    @property
    def most(self):
        """The most steps that it will take."""
        return self.maximum

    def update(self, epoch, gradient_magnitude, *, accuracy=None, progress=None, over=None):
        """gradient_magnitude: of the epoch that ended, epochs counted from 0. Returns the steps for the next."""
        if self.gamma is None:
            raise ValueError("the controller has gamma None, expected a number above 0: take it from Method.tailored")
        if epoch == 0:
            self.steps = min(self.steps + 1, self.maximum)
        elif epoch == 1:
            self.threshold = self.gamma * gradient_magnitude
        elif self._grows(gradient_magnitude):
            self.threshold = self.gamma * gradient_magnitude
            self.steps += 1
        return self.steps

    def state(self):
        return dict(vars(self))

    def restore(self, state):
        vars(self).update(state)

    def _grows(self, magnitude):
        forced = self.rule == "2021" and self.steps * self.step_share < 1 - 1e-9
        return forced or (magnitude > self.threshold and self.steps < self.maximum)
