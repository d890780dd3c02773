"""Attack the batch, then take a training step: PGD, Fast, TRADES, MART, FAT, Amata and the M+ methods.

A strategy returns, for a model and an optimizer, a function that trains on a batch; fit.py is the loop around it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import typing
from collections.abc import Callable

import keras
import numpy

from models import compute, perturb, updates
from train import batch_norm
from train.robust import losses, perturbation
from train.robust.awp import Awp
from train.robust.class_factors import ClassFactors
from train.robust.distil import Distillation
from train.robust.friendly import Friendly
from train.robust.mined import Mined
from train.robust.targets import Batch, SelfAdaptive


class Outcome(typing.NamedTuple):
    """The result of training on a batch of n images.

    loss: mean training loss.
    correct: bool (n,), adversarial images that are correct in the forward pass of training.
    magnitude: of the gradient that guides a controller.
    passes: forward and backward passes per image; a forward pass alone counts half.
    carried: the perturbation from which the next batch starts (FREE), or None.
    """

    loss: typing.Any
    correct: typing.Any
    magnitude: typing.Any
    passes: float
    carried: typing.Any = None


def cross_entropy(
    call: Callable,
    current: compute.Tensor,
    images: compute.Tensor,
    labels: compute.Tensor,
    scale: compute.Tensor,
    weight: compute.Tensor = 1.0,
    beta: compute.Tensor = 0.0,
) -> tuple[compute.Tensor, compute.Tensor]:
    """Objective of PGD training: (cross-entropy of the adversarial images (n,), which are correct (n,)).

    Here and below: call, the model's forward pass; current and images, the adversarial and the clean images
    (n, H, W, C); labels, integers (n,); scale, the standard deviations of the channels (C,).
    weight, beta (here and below): factors of the loss and of its second term, a number or (n,).
    """
    logits = _float32(call(current))
    correct = keras.ops.logical_not(perturb.is_misclassified(logits, labels))
    return weight * perturb.cross_entropy(logits, labels), correct


def paired(loss: Callable, order: tuple[str, ...]) -> Callable:
    """Objective of TRADES and MART from a loss of clean and adversarial logits.

    order: of the forward passes, "clean" or "adversarial"; each has its own batch statistics in training mode, as in
        the authors' code. The logits of a second clean pass are the argument `again` of the loss.
    """

    def objective(call, current, images, labels, scale, weight, beta):
        passed = {"clean": [], "adversarial": []}
        for kind in order:
            passed[kind].append(_float32(call(images if kind == "clean" else current)))
        (clean, *repeated), (adversarial,) = passed.values()
        correct = keras.ops.logical_not(perturb.is_misclassified(adversarial, labels))
        second = {"again": repeated[0]} if repeated else {}
        return weight * loss(clean, adversarial, labels, beta=beta, **second), correct

    return objective


PAIRED = {"trades": losses.trades, "mart": losses.mart}
LOSSES = ("cross-entropy", *PAIRED)
ORDERS = {  # of the forward passes in the update; the last pass has most weight in the moving statistics
    "cross-entropy": [("adversarial",)],
    "trades": [("clean", "adversarial"), ("clean", "adversarial", "clean")],
    "mart": [("clean", "adversarial"), ("adversarial", "clean")],
}
NONE = ClassFactors()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Adversarial:
    """A training step on the adversarial images of each batch.

    loss: training loss, "cross-entropy", "trades" or "mart".
    beta: weight of its second term.
    order: of its forward passes; (): the loss's first of ORDERS.
    attack_loss: "cross-entropy", "kl" or "tempered-cross-entropy" (Temperature-PGD).
    start, clip_start, step: of the attack, see perturbation.
    attack_mode: "train" normalises by the batch and updates the moving statistics at each attack step, as in the PGD
        and DEAT originals; "batch" normalises by the batch, and only the update's pass updates the moving statistics
        (Rice, Wong, Kolter and AWP update them in the attack, and clean images too [D]); "eval" does neither, as in
        TRADES and MART.
    friendly: early stop (friendly.Friendly), in eval mode only.
    guide: loss whose gradient magnitude guides the controller, "training" (DEAT's rule of 2022) or "attack" (2021).
    guided_by: the epoch's magnitude is the sum over "all" batches or that of the "last".
    factors: for single classes.
    awp: moves the weights before the update (awp.Awp); None: they stay.
    targets: soft targets from the run's own outputs (targets.SelfAdaptive for TRADES, mined.Mined for the
        cross-entropy); None: labels.
    distil: teachers of the cross-entropy (distil.Distillation); None: none.
    noise: radius of the uniform start as a multiple of epsilon; steps are then not clipped to the epsilon ball, so that
        adversarials lie up to `noise` and the steps from the image (N-FGSM); None: all is inside the ball.
    Raises ValueError for unknown names, and for friendly attacks in another mode than eval.
    """

    loss: str = "cross-entropy"
    beta: float = 0.0
    order: tuple = ()
    attack_loss: str = "cross-entropy"
    start: str = "uniform"
    clip_start: bool = True
    step: perturbation.StepSize
    attack_mode: str = "train"
    friendly: Friendly | None = None
    guide: str = "training"
    guided_by: str = "all"
    factors: ClassFactors = NONE
    awp: Awp | None = None
    targets: SelfAdaptive | Mined | None = None
    distil: Distillation | None = None
    noise: float | None = None

    def __post_init__(self):
        for name, valid in (
            ("loss", LOSSES),
            ("attack_loss", tuple(perturbation.ATTACK_LOSSES)),
            ("start", perturbation.STARTS),
            ("attack_mode", ("train", "batch", "eval")),
            ("guide", ("training", "attack")),
            ("guided_by", ("all", "last")),
        ):
            if getattr(self, name) not in valid:
                raise ValueError(f"{name} is {getattr(self, name)!r}, expected one of {', '.join(valid)}")
        if tuple(self.order) not in ((), *ORDERS[self.loss]):
            raise ValueError(f"order of {self.loss} is {self.order}, expected one of {ORDERS[self.loss]}")
        if self.targets is not None and self.targets.loss != self.loss:
            raise ValueError(f"{type(self.targets).__name__} are targets of {self.targets.loss}, not of {self.loss}")
        if self.distil is not None and (self.loss != "cross-entropy" or self.targets is not None):
            raise ValueError("distillation replaces the targets of the cross-entropy: use it with no other loss")
        if self.noise is not None and not (self.noise > 0 and self.start == "uniform" and self.friendly is None):
            raise ValueError(f"noise is {self.noise}: expected above 0, of a uniform start, not in a friendly attack")
        if self.friendly is not None and self.attack_mode != "eval":
            raise ValueError("friendly attacks drop finished images from the batch: attack_mode must be eval")

    @property
    def update_order(self) -> tuple[str, ...]:
        """The forward passes of the update in order, "clean" or "adversarial"."""
        return tuple(self.order) or ORDERS[self.loss][0]

    def passes(self, steps: int) -> float:
        """Forward and backward passes per image with this number of attack steps, at most."""
        return self.attack_passes(steps) + self.update_passes(moved=self.awp is not None)

    def update_passes(self, moved: bool) -> float:
        """Forward and backward passes per image of the update. moved: whether it moves the weights first."""
        return len(self.update_order) * (2 if moved else 1) + (0.0 if self.distil is None else self.distil.passes)

    def attack_passes(self, steps: int) -> float:
        """Forward and backward passes per image of the attack; a forward pass alone counts half.

        An attack on the KL divergence needs a clean forward pass: once before it, in training mode at each step.
        """
        clean = 0 if self.attack_loss != "kl" else steps if self.attack_mode != "eval" else min(steps, 1)
        return steps + 0.5 * clean

    def batch(
        self,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        *,
        epsilon: float,
        scale: numpy.ndarray,
        measure: bool = False,
        count: int = 0,
        teachers: tuple = (),
    ) -> Callable:
        """``run(images, labels, steps, generator, carried=None, progress=0.0, rows=None) -> Outcome`` for one model.

        model, optimizer: what the updates change.
        epsilon: Linf radius in [0, 1] pixel scale.
        scale: standard deviations of the channels (C,), for the magnitude.
        measure: whether a controller needs the magnitude.
        count: number of training images, for targets.
        teachers: models, for distillation.
        Arguments of `run`: images float32 (n, H, W, C); labels int32 (n,); progress: fraction of the run that is done;
            rows: their places among the training images, for targets (None: the first).
        With targets it is a targets.Batch, whose state is saved with each epoch.
        The model's own weight decay is not used: the optimizer has that of the set-up.
        Raises ValueError if a controller needs a magnitude that the strategy does not measure.
        """
        if measure and self.guide == "attack" and self.friendly is not None:
            raise ValueError("a friendly attack measures no gradient magnitude: guide by the training loss")
        if self.factors.beta and self.loss == "cross-entropy":
            raise ValueError("factors of beta, but the cross-entropy has no beta: use trades or mart")
        measured = measure and self.guide == "training"
        follow = _magnitude if measured else None
        objective = paired(PAIRED[self.loss], self.update_order) if self.loss in PAIRED else cross_entropy
        if self.distil is not None:
            objective = self.distil.objective
        table, net = None, model
        if self.targets is not None:
            objective, net = self.targets.objective(self.update_order), self.targets.net(model)
            table = self.targets.begin(count, model)
        settings = {"follow": follow, "regularise": False}
        plain = updates.train_step(net, optimizer, objective, **settings)
        moving = None
        if self.awp is not None:
            moving = updates.train_step(net, optimizer, objective, **settings, displace=self.awp.displace)
        attack = self._attack(model, scale)
        taught = None if self.distil is None else self.distil.nets(teachers)

        def run(images, labels, steps, generator, carried=None, progress=0.0, rows=None):
            radius = epsilon * self.factors.of("epsilon", labels)
            current, magnitude, passes = attack(images, labels, steps, radius, generator, progress)
            weight, beta = self.factors.of("weight", labels), self.beta * self.factors.of("beta", labels)
            displaced = self.awp is not None and self.awp.moved(progress)
            train_step = moving if displaced else plain
            rows = numpy.arange(len(images)) if rows is None else rows
            arrays = () if table is None else table.of(rows, labels, progress)
            arrays = arrays if taught is None else taught(current)
            loss, extra, *followed = train_step(current, images, labels, scale, weight, beta, *arrays)
            correct, *outputs = (extra,) if table is None else extra
            if table is not None:
                table.learn(rows, labels, progress, generator, *outputs)
            passes += self.update_passes(displaced)
            return Outcome(loss, correct, followed[0] if followed else magnitude, passes)

        return run if table is None else Batch(run, table.state, table.restore, getattr(table, "judge", None))

    def _attack(self, model, scale):
        """``run(images, labels, steps, epsilon, generator, progress) -> (adversarials, magnitude, passes)``."""
        training = self.attack_mode != "eval"
        alongside = training and self.attack_loss == "kl"
        ascend = perturbation.step_alongside if alongside else perturbation.STEPS[self.attack_loss]
        step = compute.compiled(model, ascend, training=training)
        anchor = compute.compiled(model, perturbation.log_softmax)
        if self.friendly is not None:
            befriend = self.friendly.attack(model, self.attack_loss)

        def run(images, labels, steps, epsilon, generator, progress):
            radius = epsilon if self.noise is None else self.noise * epsilon
            current = perturbation.begin(images, radius, self.start, generator, clip=self.clip_start)
            targets, passes, magnitude = labels, self.attack_passes(steps), 0.0
            if self.attack_loss == "kl" and not alongside and steps:
                targets = anchor(images)
            size = epsilon * self.step.of(steps)
            if self.friendly is not None:
                current, friendly_passes = befriend(
                    images, current, labels, targets, steps, epsilon, size, generator, progress
                )
                return current, magnitude, friendly_passes + passes - steps
            ball = epsilon if self.noise is None else radius + steps * size  # what no step can leave
            with batch_norm.keeping_statistics(model) if self.attack_mode == "batch" else contextlib.nullcontext():
                for _ in range(steps):
                    current, magnitude = step(current, images, targets, ball, size, scale)
            return current, magnitude, passes

        return run


def _magnitude(current, gradient, images, labels, scale, weight, beta, *targets):
    return perturbation.magnitude(gradient, scale)


def _float32(logits):
    return keras.ops.cast(logits, "float32")
