"""PGD: gradient steps inside a ball, and the smallest ball in which they fool."""

import dataclasses
import functools

import keras
import numpy

from adv import search
from adv.attack import Attack
from models import compute, perturb


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
