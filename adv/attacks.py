"""The attacks: hyper-parameters with the papers' defaults, and the catalogue `ATTACKS`.

    minimal = adv.search.minimal(model, x, y, adv.attacks.get("pgd"))
    flags = adv.evaluate.robust_flags(model, x, y, adv.attacks.PGD(steps=10, rel_stepsize=0.25), epsilon=8 / 255)

An attack is a frozen dataclass that holds only hyper-parameters; epsilon stays outside. It has two methods, given
correctly classified float32 images (N, H, W, C) in [0, 1] and integer labels (N,):

- ``closest(model, images, labels, *, batch_size)`` -> (candidates, success): its smallest perturbations;
- ``within(model, images, labels, *, epsilon, batch_size)`` -> images no farther than epsilon away in its norm.

Names and defaults are those of foolbox 2.3.0 as DARE used it (methods fgsm and pgd of the released
generate_adv.py [P]); DeepFool is foolbox 3.3.4's. A new attack is a class with these methods and a line of `ATTACKS`.
"""

import dataclasses
import difflib
import functools
import typing

import keras
import numpy

from adv import foolbox_model, search
from models import compute, perturb


@dataclasses.dataclass(frozen=True, kw_only=True)
class Attack:
    """What every attack has: `title`, `citation`, the `norm` that its epsilon is measured in, `specification()`."""

    title: typing.ClassVar[str]
    citation: typing.ClassVar[str]
    norm: typing.ClassVar[str]

    def specification(self):
        """Everything that decides the attack, as JSON values: for result rows and artefacts."""
        return {"attack": type(self).__name__.lower(), "norm": self.norm, **dataclasses.asdict(self)}


@dataclasses.dataclass(frozen=True, kw_only=True)
class FGSM(Attack):
    """Fast gradient sign method: x + epsilon * sign(gradient of the cross-entropy), clipped to [0, 1].

    Goodfellow et al. 2015, section 4; the search over epsilon is foolbox 2.3.0's GradientSignAttack.
    epsilons: size of the grid over (0, 1]; fine: size of the grid below a success among the first 20.
    """

    title = "FGSM"
    citation = "Goodfellow, Shlens, Szegedy, ICLR 2015"
    norm = "linf"
    epsilons: int = 1000
    fine: int = 20

    def closest(self, model, images, labels, *, batch_size=256):
        """The gradient once, then the smallest epsilon of the grid that is misclassified (search.grid)."""
        block = 10
        signs = self._signs(model, images, labels, batch_size)
        ladder = compute.compiled(model, _ladder)

        def trial(rows, epsilon):
            return compute.predict(
                ladder,
                images[rows],
                signs[rows],
                labels[rows],
                epsilon.astype(numpy.float32),
                batch_size=max(1, batch_size // block),
            )

        epsilon = search.grid(trial, len(images), epsilons=self.epsilons, fine=self.fine, block=block)
        success = ~numpy.isnan(epsilon)
        return _step(images, signs, numpy.where(success, epsilon, 0)), success

    def within(self, model, images, labels, *, epsilon, batch_size=256):
        """One step of size epsilon."""
        return _step(images, self._signs(model, images, labels, batch_size), numpy.full(len(images), epsilon))

    def _signs(self, model, images, labels, batch_size):
        return compute.predict(compute.compiled(model, perturb.sign_gradient), images, labels, batch_size=batch_size)


def _step(images, signs, epsilon):
    return numpy.clip(images + epsilon.astype(numpy.float32)[:, None, None, None] * signs, 0, 1)


def _ladder(call, images, signs, labels, epsilon):
    """Which of k sizes of step, epsilon (N, k), are misclassified: bool (N, k)."""
    images, signs = keras.ops.expand_dims(images, 1), keras.ops.expand_dims(signs, 1)
    steps = keras.ops.clip(images + epsilon[:, :, None, None, None] * signs, 0.0, 1.0)
    logits = call(keras.ops.reshape(steps, (-1, *images.shape[2:])))
    wrong = perturb.is_wrong(logits, keras.ops.repeat(labels, keras.ops.shape(epsilon)[1]))
    return keras.ops.reshape(wrong, keras.ops.shape(epsilon))


@dataclasses.dataclass(frozen=True, kw_only=True)
class PGD(Attack):
    """Projected gradient descent in the Linf ball, from the image itself, ended at the first misclassified iterate.

    Madry et al. 2018, section 2.1; defaults and the search over epsilon (search.bisection) are foolbox 2.3.0's
    ProjectedGradientDescent as DARE called it [P]: binary search 20, epsilon .3, step size .01, 40 steps, no random
    start. steps: gradient steps a trial; rel_stepsize: step size as a share of epsilon; epsilon, growth, growths,
    bisections: the search; random_start, seed: begin at a uniform point of the ball, drawn with NumPy.
    """

    title = "PGD"
    citation = "Madry, Makelov, Schmidt, Tsipras, Vladu, ICLR 2018"
    norm = "linf"
    steps: int = 40
    epsilon: float = 0.3
    rel_stepsize: float = 0.01 / 0.3
    growth: float = 1.5
    growths: int = 20
    bisections: int = 20
    random_start: bool = False
    seed: int = 0

    def closest(self, model, images, labels, *, batch_size=256):
        """The nearest of all the successful trials of the bisection over epsilon."""
        generator = numpy.random.default_rng(self.seed)

        def trial(rows, epsilon):
            return self._trial(model, images[rows], labels[rows], epsilon, generator, batch_size)

        return search.bisection(
            trial,
            images,
            epsilon=self.epsilon,
            growth=self.growth,
            growths=self.growths,
            bisections=self.bisections,
        )

    def within(self, model, images, labels, *, epsilon, batch_size=256):
        """One trial at a fixed epsilon."""
        sizes = numpy.full(len(images), float(epsilon))
        return self._trial(model, images, labels, sizes, numpy.random.default_rng(self.seed), batch_size)[0]

    def _trial(self, model, images, labels, epsilon, generator, batch_size):
        start = images
        if self.random_start:
            noise = generator.uniform(-1, 1, images.shape) * epsilon[:, None, None, None]
            start = numpy.clip(images + noise.astype(numpy.float32), 0, 1)
        sizes = (size.astype(numpy.float32) for size in (epsilon, self.rel_stepsize * epsilon))
        run = compute.compiled(model, _until_wrong(self.steps)) if compute.ON_ACCELERATOR else self._stepwise(model)
        return compute.predict(run, images, start, labels, *sizes, batch_size=batch_size)

    def _stepwise(self, model):
        """The trial as one compiled call a step. On a CPU some of TensorFlow's compiled loops, and not others of
        the same code, take 1.4 times as long as the same steps in a row; there a call costs nothing beside a step."""
        step, judge = compute.compiled(model, _step_until_wrong), compute.compiled(model, _judge)

        def run(images, start, *arrays):
            images, current, labels, *sizes = map(keras.ops.convert_to_tensor, (images, start, *arrays))
            for _ in range(self.steps):
                current, wrong = step(images, current, labels, *sizes)
                if numpy.asarray(wrong).all():
                    return current, wrong
            return current, judge(current, labels)

        return run


def _step_until_wrong(call, images, current, labels, epsilon, step_size):
    return perturb.step_until_wrong(call, images, current, labels, epsilon=epsilon, step_size=step_size)


def _judge(call, images, labels):
    return perturb.is_wrong(call(images), labels)


@functools.cache
def _until_wrong(steps):
    """The compiled trial with this number of steps (one object a number, so that it is compiled once a model)."""

    def until_wrong(call, images, start, labels, epsilon, step_size):
        return perturb.pgd_until_wrong(
            call, images, labels, epsilon=epsilon, step_size=step_size, steps=steps, start=start
        )

    return until_wrong


@dataclasses.dataclass(frozen=True, kw_only=True)
class DeepFool(Attack):
    """DeepFool: to the nearest of the linearised boundaries, again and again (Moosavi-Dezfooli et al. 2016).

    foolbox 3.3.4's L2DeepFoolAttack or LinfDeepFoolAttack, over the ten likeliest classes. norm: "l2" or "linf";
    steps: at most; overshoot: how far beyond the boundary.
    """

    title = "DeepFool"
    citation = "Moosavi-Dezfooli, Fawzi, Frossard, CVPR 2016"
    norm: str = "l2"
    steps: int = 100
    overshoot: float = 0.05

    def closest(self, model, images, labels, *, batch_size=256):
        """The whole attack for the images that a tenth of the steps does not fool, so that few hold up many."""
        result, rows, success = images.copy(), numpy.arange(len(images)), numpy.zeros(len(images), bool)
        for steps in (max(1, self.steps // 10), self.steps):
            attack = foolbox_model.deepfool(self.norm, steps=steps, overshoot=self.overshoot)
            result[rows] = foolbox_model.run(attack, model, images[rows], labels[rows], batch_size=batch_size)
            if len(rows):
                success[rows] = search.classes(model, result[rows], batch_size=batch_size) != labels[rows]
            rows = rows[~success[rows]]
        return result, success

    def within(self, model, images, labels, *, epsilon, batch_size=256):
        """The closest adversarials that are no farther than epsilon; other images stay as they are."""
        candidates, success = self.closest(model, images, labels, batch_size=batch_size)
        success &= search.norm(candidates - images, self.norm) <= epsilon
        return numpy.where(success[:, None, None, None], candidates, images)


ATTACKS = {
    "fgsm": FGSM(),
    "pgd": PGD(),
    "deepfool": DeepFool(norm="l2"),
    "deepfool-linf": DeepFool(norm="linf"),
}


def get(name):
    """The attack `name` of the catalogue. Raises ValueError with the valid names and the nearest."""
    if name not in ATTACKS:
        nearest = difflib.get_close_matches(name, ATTACKS, 1)
        hint = f"did you mean {nearest[0]!r}? " if nearest else ""
        raise ValueError(f"unknown attack {name!r}: {hint}valid names: {', '.join(ATTACKS)}")
    return ATTACKS[name]
