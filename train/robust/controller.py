"""Controllers of robust training: the number of attack steps, or replays of a batch, in each epoch.

`steps` is the number for the coming epoch. ``update(epoch, gradient_magnitude, accuracy=, progress=, over=)`` is called
after each epoch (counted from 0) and returns the steps for the next. `state()` returns JSON values from which
`restore` resumes. Any controller works with any method, except that FREE, DEAT and YOPO need at least one step, and
YOPO measures no magnitude.
"""

import dataclasses


@dataclasses.dataclass(kw_only=True)
class Fixed:
    """The same number of steps in every epoch."""

    steps: int

    def update(
        self,
        epoch: int,
        gradient_magnitude: float | None = None,
        *,
        accuracy: float | None = None,
        progress: float | None = None,
        over: float | None = None,
    ) -> int:
        """The number of steps of the next epoch.

        epoch: the epoch that ended, counted from 0.
        gradient_magnitude: of that epoch, as the method measures it; None where it measures none.
        accuracy: fraction of that epoch's adversarials that were classified correctly.
        progress: fraction of the way to the last epoch, 1 as the last epoch begins; under a budget as `over`.
        over: fraction of the run, or of its budget of BP-epochs, that is over.
        Each controller reads only what its rule needs.
        """
        return self.steps

    @property
    def most(self) -> int:
        """The largest number of steps it can return."""
        return getattr(self, "maximum", self.steps)

    def state(self) -> dict:
        """JSON values from which `restore` resumes."""
        return dict(vars(self))

    def restore(self, state: dict) -> None:
        """Continue from a `state`."""
        vars(self).update(state)


@dataclasses.dataclass(kw_only=True)
class Delayed(Fixed):
    """A step more every `delay` epochs: min(epoch // delay + 1, maximum), DEAT-d (Wang et al. 2021, section 3)."""

    delay: int
    maximum: int
    steps: int = 1

    def update(
        self,
        epoch: int,
        gradient_magnitude: float | None = None,
        *,
        accuracy: float | None = None,
        progress: float | None = None,
        over: float | None = None,
    ) -> int:
        """The number of steps of the next epoch, by `epoch` alone. Arguments as of Fixed.update."""
        self.steps = min((epoch + 1) // self.delay + 1, self.maximum)
        return self.steps


@dataclasses.dataclass(kw_only=True)
class AccuracyThreshold(Fixed):
    """A step more after an epoch whose accuracy on its adversarials exceeds `threshold` (a fraction), DEAT-p."""

    threshold: float
    maximum: int
    steps: int = 1

    def update(
        self,
        epoch: int,
        gradient_magnitude: float | None = None,
        *,
        accuracy: float | None = None,
        progress: float | None = None,
        over: float | None = None,
    ) -> int:
        """The number of steps of the next epoch, by `accuracy` alone. Arguments as of Fixed.update."""
        if accuracy > self.threshold:
            self.steps = min(self.steps + 1, self.maximum)
        return self.steps


@dataclasses.dataclass(kw_only=True)
class Linear(Fixed):
    """From `first` to `last` linearly over training, Amata (Ye et al. 2020).

    down: False: rounded to the nearest, with `last` in the last epoch [D]. True: rounded down by the fraction of the
        run that is over, so that it ends at `last` - 1, as in DEAT's code [P].
    """

    first: int
    last: int
    down: bool = False
    steps: int = 0

    def __post_init__(self):
        self.steps = self.first

    @property
    def most(self) -> int:
        """The largest number of steps it can return."""
        return self.last

    def update(
        self,
        epoch: int,
        gradient_magnitude: float | None = None,
        *,
        accuracy: float | None = None,
        progress: float | None = None,
        over: float | None = None,
    ) -> int:
        """The number of steps of the next epoch, by `progress`, if `down` by `over`. Arguments as of Fixed.update."""
        if self.down:
            self.steps = self.first + int((self.last - self.first) * over + 1e-9)
        else:
            self.steps = round(self.first + (self.last - self.first) * min(progress, 1.0))
        return self.steps


class MagnitudeGuided:
    """A step more when the gradient magnitude exceeds a threshold (DEAT: Wang et al. 2021, algorithm 2).

    After epoch 0 a step is added. After epoch 1 the threshold is gamma times its magnitude. From then on, an epoch
    whose magnitude exceeds the threshold sets it to gamma times that magnitude and adds a step, up to `maximum`.
    gamma: None: set later from a set-up (Method.tailored).
    maximum: largest number of steps.
    start: steps of epoch 0.
    rule: "2022", as above, or "2021", of the published table of the M+ methods: steps also grow, at any magnitude,
        while steps * step_share < 1; this sets the threshold too.
    step_share: step size as a fraction of epsilon, for the rule of 2021 only.
    Raises ValueError for arguments out of range.
    """

    def __init__(
        self, gamma: float | None, maximum: int, start: int = 1, *, rule: str = "2022", step_share: float | None = None
    ) -> None:
        if rule not in ("2021", "2022") or (rule == "2021") != (step_share is not None):
            raise ValueError(f"rule is {rule!r} with step_share={step_share}, expected '2022', or '2021' with a share")
        if not ((gamma is None or gamma > 0) and 0 <= start <= maximum):
            raise ValueError(
                f"gamma={gamma}, start={start}, maximum={maximum}: expected gamma > 0, start in 0..maximum"
            )
        self.gamma, self.maximum, self.start, self.rule, self.step_share = gamma, maximum, start, rule, step_share
        self.steps, self.threshold = start, None

    @property
    def most(self) -> int:
        """The largest number of steps it can return."""
        return self.maximum

    def update(
        self,
        epoch: int,
        gradient_magnitude: float,
        *,
        accuracy: float | None = None,
        progress: float | None = None,
        over: float | None = None,
    ) -> int:
        """The number of steps of the next epoch, by `epoch` and `gradient_magnitude`. Arguments as of Fixed.update.

        Raises ValueError where gamma is None.
        """
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

    def state(self) -> dict:
        """JSON values from which `restore` resumes."""
        return dict(vars(self))

    def restore(self, state: dict) -> None:
        """Continue from a `state`."""
        vars(self).update(state)

    def _grows(self, magnitude):
        forced = self.rule == "2021" and self.steps * self.step_share < 1 - 1e-9
        return forced or (magnitude > self.threshold and self.steps < self.maximum)
