"""Attack the batch, then take one step down a loss: PGD, Fast, TRADES, MART, FAT, Amata and the M+ methods.

A strategy makes, for one model and optimizer, a function of a batch; fit.py is the loop around it.
"""

import dataclasses
import typing

import keras

from models import compute, perturb
from train.robust import losses, perturbation
from train.robust.class_factors import ClassFactors
from train.robust.friendly import Friendly


class Outcome(typing.NamedTuple):
    """What one batch of n images came to.

    loss: the mean training loss; right: bool (n,), which adversarial images were classified correctly in the forward
    pass of training; magnitude: of the gradient that guides a controller; passes: forward and backward passes an
    image, a forward pass alone counting half; carried: what the next batch starts from (FREE).
    """

    loss: typing.Any
    right: typing.Any
    magnitude: typing.Any
    passes: float
    carried: typing.Any = None


def cross_entropy(call, current, images, labels, scale, weight=1.0, beta=0.0):
    """Objective of PGD training: (cross-entropy of the adversarial images (n,), which are right (n,)).

    weight, beta, here and below: a number or values (n,), of the loss and of its second part.
    """
    logits = _float32(call(current))
    return weight * perturb.cross_entropy(logits, labels), keras.ops.logical_not(perturb.is_wrong(logits, labels))


def paired(loss):
    """Objective of TRADES and MART: clean and adversarial images pass one after the other, each with its own batch
    statistics in training mode, as in the authors' code."""

    def objective(call, current, images, labels, scale, weight, beta):
        clean, adversarial = _float32(call(images)), _float32(call(current))
        right = keras.ops.logical_not(perturb.is_wrong(adversarial, labels))
        return weight * loss(clean, adversarial, labels, beta=beta), right

    return objective


OBJECTIVES = {"cross-entropy": cross_entropy, "trades": paired(losses.trades), "mart": paired(losses.mart)}


NONE = ClassFactors()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Adversarial:
    """One update on the adversarial images of each batch.

    loss: "cross-entropy", "trades" or "mart", with `beta`; climbed: what the attack ascends, "cross-entropy", "kl" or
    "tempered" (Temperature-PGD); start, step: of the attack (perturbation); attack_mode: "train" normalises by the
    batch and moves the statistics at every attack step, as the PGD and DEAT originals, "eval" neither, as TRADES and
    MART; friendly: stop early (friendly.Friendly), in eval mode only; guide: whose gradient at its last point the
    magnitude is of, the "training" loss (DEAT's rule of 2022) or the "attack" (2021); factors: of single classes.
    """

    loss: str = "cross-entropy"
    beta: float = 0.0
    climbed: str = "cross-entropy"
    start: str = "uniform"
    step: perturbation.StepSize
    attack_mode: str = "train"
    friendly: Friendly | None = None
    guide: str = "training"
    factors: ClassFactors = NONE

    def __post_init__(self):
        for name, valid in (
            ("loss", tuple(OBJECTIVES)),
            ("climbed", tuple(perturbation.CLIMBED)),
            ("start", perturbation.STARTS),
            ("attack_mode", ("train", "eval")),
            ("guide", ("training", "attack")),
        ):
            if getattr(self, name) not in valid:
                raise ValueError(f"{name} is {getattr(self, name)!r}, expected one of {', '.join(valid)}")
        if self.friendly is not None and self.attack_mode != "eval":
            raise ValueError("friendly attacks drop finished images from the batch: attack_mode must be eval")

    def batch(self, model, optimizer, *, epsilon, scale, measure=False):
        """``run(images, labels, steps, generator, carried=None, progress=0.0) -> Outcome`` for one model and optimizer.

        epsilon: Linf radius in [0, 1] pixel scale; scale: (C,) deviations of the channels, for the magnitude;
        measure: whether a controller wants it; progress: the share of the run that is done. images float32
        (n, H, W, C), labels int32 (n,). The model's own weight decay is left out: the optimizer has the set-up's.
        Raises ValueError where a controller wants a magnitude that the strategy does not measure.
        """
        if measure and self.guide == "attack" and self.friendly is not None:
            raise ValueError("a friendly attack measures no gradient magnitude: guide by the training loss")
        if self.factors.beta and self.loss == "cross-entropy":
            raise ValueError("factors of beta, but the cross-entropy has no beta: use trades or mart")
        measured = measure and self.guide == "training"
        follow = _magnitude if measured else None
        descend = compute.descend(model, optimizer, OBJECTIVES[self.loss], follow=follow, regularise=False)
        attack = self._attack(model, scale)

        def run(images, labels, steps, generator, carried=None, progress=0.0):
            radius = epsilon * self.factors.of("epsilon", labels)
            current, magnitude, passes = attack(images, labels, steps, radius, generator, progress)
            weight, beta = self.factors.of("weight", labels), self.beta * self.factors.of("beta", labels)
            loss, right, *followed = descend(current, images, labels, scale, weight, beta)
            passes += 1 if self.loss == "cross-entropy" else 2
            return Outcome(loss, right, followed[0] if followed else magnitude, passes)

        return run

    def _attack(self, model, scale):
        """``run(images, labels, steps, epsilon, generator, progress) -> (adversarials, magnitude, passes)``."""
        training = self.attack_mode == "train"
        step = compute.compiled(model, perturbation.STEPS[self.climbed], training=training)
        anchor = compute.compiled(model, perturbation.log_softmax, training=training)
        if self.friendly is not None:
            befriend = self.friendly.attack(model, self.climbed)

        def run(images, labels, steps, epsilon, generator, progress):
            current, magnitude = perturbation.begin(images, epsilon, self.start, generator), 0.0
            targets, passes = labels, float(steps)
            if self.climbed == "kl" and steps:
                targets, passes = anchor(images), passes + 0.5
            size = epsilon * self.step.of(steps)
            if self.friendly is not None:
                current, taken = befriend(images, current, labels, targets, steps, epsilon, size, generator, progress)
                return current, magnitude, taken + passes - steps
            for _ in range(steps):
                current, magnitude = step(current, images, targets, epsilon, size, scale)
            return current, magnitude, passes

        return run


def _magnitude(current, slope, images, labels, scale, weight, beta):
    return perturbation.magnitude(slope, scale)


def _float32(logits):
    return keras.ops.cast(logits, "float32")
