"""Checks beside AutoAttack: signs that its robust accuracy is too high.

They are the warnings of AutoAttack's released code (Croce and Hein, ICML 2020), with its thresholds; docs/checks.md has
a paragraph on each of NAMES. Its check for gradients inside the forward pass is left out: a compiled graph has none.
"""

from __future__ import annotations

import itertools

import keras
import numpy

from adv import search
from adv.autoattack import AutoAttack
from adv.base import direction
from adv.checks import Check
from models import compute, contract, perturb

NAMES = ("randomised", "probabilities", "zero-gradient", "few-classes", "square")
PASSES = 5
MOVED = 1e-4  # of logits of L2 norm 1, between two passes over the same images
NEAR = 1e-5  # to [0, 1] and to a sum of 1
LOWERED = 0.002  # of robust accuracy, by Square


def before(
    model: keras.Model, x: numpy.ndarray, y: numpy.ndarray, *, attack: AutoAttack, epsilon: float, batch_size: int = 256
) -> list[Check]:
    """The checks of a model before the attack: list of Check.

    model: may end in probabilities.
    x: the first images (N, H, W, C), uint8 or float32 in [0, 1].
    y: integer labels (N,).
    attack: AutoAttack.
    epsilon: its radius.
    batch_size: images attacked together.
    Raises ValueError for a model, images or labels that do not belong together.
    """
    images, labels = contract.admit(model, x, y, batch_size=batch_size, squashed=True)
    run = compute.compiled(model, _redrawn)
    passes = [
        compute.predict(run, images, numpy.full(len(images), number, numpy.int32), batch_size=batch_size)
        for number in range(PASSES)
    ]
    randomised = [] if attack.version == "rand" else [_randomised(passes, labels)]
    return [
        *randomised,
        _probabilities(model, passes[0]),
        _zero_gradient(model, images, labels, attack, epsilon, batch_size),
        _few_classes(passes[0].shape[1], attack.attacks),
    ]


def after(flags: dict[str, numpy.ndarray]) -> list[Check]:
    """The check of Square after the attack: list of Check, empty if Square was not run.

    flags: name -> bool (N,) after each attack in order, "clean" first.
    Raises KeyError if "clean" is missing.
    """
    if "square" not in flags:
        return []
    names = list(flags)
    earlier = flags[names[names.index("square") - 1]].mean()
    drop = float(earlier - flags["square"].mean())
    seen = f"{100 * drop:.1f} points of robust accuracy lost to Square"
    preceded = len(names) > 2
    return [
        Check("square", not preceded or drop <= LOWERED, seen, f"at most {100 * LOWERED:.1f}: it follows no gradient")
    ]


def _redrawn(call, images, number):
    return compute.redrawn(call, number[0])(images)


def _randomised(passes, labels):
    correct = [int((outputs.argmax(axis=1) == labels).sum()) for outputs in passes]
    unit = [outputs / (numpy.linalg.norm(outputs, axis=1, keepdims=True) + 1e-10) for outputs in passes]
    distance = max(float(numpy.linalg.norm(a - b, axis=1).max()) for a, b in itertools.combinations(unit, 2))
    seen = f"logits of norm 1 that move by {distance:.2g}, {min(correct)} to {max(correct)} images correct"
    passed = len(set(correct)) == 1 and distance <= MOVED
    return Check(
        "randomised", passed, seen, f"at most {MOVED:g} in {PASSES} passes, the same images: else version rand"
    )


def _probabilities(model, outputs):
    inside = outputs.max() < 1 + NEAR and outputs.min() > -NEAR
    reason = contract.probabilities(model, outputs)
    if not reason and inside and (abs(outputs.sum(axis=1, dtype=numpy.float64) - 1) < NEAR).all():
        reason = "rows of numbers in [0, 1] that sum to 1"
    return Check("probabilities", not reason, f"probabilities ({reason})" if reason else "no probabilities", "logits")


def _zero_gradient(model, images, labels, attack, epsilon, batch_size):
    """Whether the gradient of the DLR loss vanishes at the start of APGD."""
    noise = direction(images, seed=attack.seed, draw=0, norm=attack.norm)
    begin = perturb.random_start(images, noise, epsilon)
    gradient = compute.predict(compute.input_gradient(model, perturb.dlr), begin, labels, batch_size=batch_size)
    zero = int((search.norm(gradient, "l0") == 0).sum())
    return Check("zero-gradient", not zero, f"a gradient of 0 on {zero} of {len(images)} images", "on none")


def _few_classes(classes, attacks):
    """Whether a loss lacks its third or fourth logit, or a targeted attack has fewer classes than targets."""
    needs = {
        name: {"dlr": 3, "dlr-targeted": 4}.get(getattr(attack, "loss", None), 2) for name, attack in attacks.items()
    }
    for name, attack in attacks.items():
        if name.endswith("-t"):
            needs[name] = max(needs[name], attack.targets + 1)
    short = {name: least for name, least in needs.items() if classes < least}
    expected = ", ".join(f"at least {least} for {name}" for name, least in (short or needs).items())
    return Check("few-classes", not short, f"{classes} classes", expected)
