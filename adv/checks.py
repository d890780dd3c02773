"""Checks for hidden instead of real robustness, run beside every test on a few dozen images.

A gradient attack can fail although the model is not robust: its outputs are probabilities, its gradients vanish or are
NaN, its predictions depend on the rest of the batch or on chance. The checks are those of Athalye, Carlini, Wagner
(ICML 2018, section 3.1) and Carlini et al. (arXiv 1902.06705, section 5), with thresholds of our own [D].
For each of NAMES docs/checks.md has a paragraph: raised if, why, what to do.
"""

from __future__ import annotations

import dataclasses

import keras
import numpy
import scipy.stats

from adv import evaluate, fgsm, pgd, search
from models import compute, contract, perturb

NAMES = ("logits", "batch", "gradient", "saturated", "no-epsilon", "iterative", "large-epsilon", "transfer")
NAMES += ("chance", "constant")  # of the answers themselves: `answers`
IMAGES = 32
LARGE = 0.5  # grey is this far from every image
USABLE = 0.9  # fraction of images whose gradient must be usable
SATURATED = 0.1  # fraction of images on which the gradient of a float32 cross-entropy may be off
LOGITS = "logits: finite, before softmax"  # what the check `logits` expects
SLACK = 1  # images by which a weaker attack may be better by chance
CHANCE = 0.05  # probability that guessing passes as knowing
NEARLY_ALL = 0.9  # fraction of images with one predicted class from which predictions count as constant
STEPS = pgd.PGD(steps=10, rel_stepsize=0.25)


@dataclasses.dataclass(frozen=True)
class Check:
    """The outcome of one check.

    name: of NAMES.
    passed: whether it was passed.
    seen, expected: in words.
    value: in percent, of checks that are printed beside robust accuracies; else None.
    """

    name: str
    passed: bool
    seen: str
    expected: str
    value: float | None = None


def transferable(
    model: keras.Model, x: numpy.ndarray, y: numpy.ndarray, *, epsilon: float, batch_size: int = 256
) -> numpy.ndarray:
    """Images attacked on `model` within epsilon (Linf), for `check` of another model: float32 (N, H, W, C)."""
    evaluate.check_epsilon(epsilon, "linf")
    images, labels = contract.admit(model, x, y, batch_size=batch_size)
    return STEPS.within(model, images, labels, epsilon=epsilon, batch_size=batch_size)


def check(
    model: keras.Model,
    x: numpy.ndarray,
    y: numpy.ndarray,
    *,
    epsilon: float,
    transferred: numpy.ndarray | None = None,
    attacked: tuple | None = None,
    batch_size: int = 256,
) -> list[Check]:
    """Every check of a model on its own images: list of Check, in the order of NAMES.

    x: images (N, H, W, C), uint8 or float32 in [0, 1].
    y: integer labels (N,).
    epsilon: the largest Linf radius that the model is tested with.
    transferred: images within epsilon of `x`, made on another model by `transferable` (None: no check of transfer).
    attacked: (images, labels) of the reported robust accuracies, for the saturated fraction (None: x, y).
    Unlike all other functions this accepts outputs that are not logits.
    Raises ValueError for no images, an epsilon out of range, and for a model, images or labels that do not belong
    together.
    """
    evaluate.check_epsilon(epsilon, "linf")
    images, labels = contract.admit(model, x, y, batch_size=batch_size, squashed=True)
    if transferred is not None:
        transferred, _ = contract.admit(model, transferred, labels, squashed=True)
    run = compute.forward(model)
    logits = compute.predict(run, images, batch_size=batch_size)
    clean = logits.argmax(axis=1) == labels

    def count_correct(attacked):
        return int((search.classes(model, attacked, batch_size=batch_size) == labels).sum())

    def attack_clean(attack, epsilon):
        attacked, rows = images.copy(), numpy.flatnonzero(clean)
        if len(rows):
            attacked[rows] = attack.within(model, images[rows], labels[rows], epsilon=epsilon, batch_size=batch_size)
        return attacked

    one_step, many_steps = (count_correct(attack_clean(attack, epsilon)) for attack in (fgsm.FGSM(), STEPS))
    results = [
        _logits(model, logits),
        _batch(logits, compute.predict(run, images, batch_size=max(1, len(images) // 4))),
        _gradient(usable(model, images, labels, batch_size=batch_size)),
        _saturated(saturated(model, *(attacked or (x, y)), batch_size=batch_size)),
        _no_epsilon(clean, search.classes(model, attack_clean(fgsm.FGSM(), 0), batch_size=batch_size) == labels),
        _at_most("iterative", many_steps, one_step, f"correct under PGD at {epsilon:.3g}", "under FGSM"),
        _large_epsilon(count_correct(attack_clean(STEPS, LARGE)), logits.shape),
    ]
    if transferred is not None:
        white_box, transfer = f"correct under PGD at {epsilon:.3g}", "under the same attack on another model"
        results.append(_at_most("transfer", many_steps, count_correct(transferred), white_box, transfer))
    return [*results, *answers(logits.argmax(axis=1), labels, logits.shape[1])]


def brief(model: keras.Model, x: numpy.ndarray, y: numpy.ndarray, *, batch_size: int = 256) -> list[Check]:
    """The checks `logits`, `gradient` and `saturated` alone, on all images under attack: three forward passes each.

    For studies that attack so many nets that the attacks of `check` would cost as much as their own.
    x: images (N, H, W, C), uint8 or float32 in [0, 1].
    y: integer labels (N,).
    """
    images, labels = contract.admit(model, x, y, batch_size=batch_size, squashed=True)
    outputs = compute.predict(compute.forward(model), images, batch_size=batch_size)
    flags = {"usable": usable, "saturated": saturated}
    flags = {name: flag(model, images, labels, batch_size=batch_size) for name, flag in flags.items()}
    return [_logits(model, outputs), *counted(**flags)]


def counted(*, usable: numpy.ndarray, saturated: numpy.ndarray) -> list[Check]:
    """The checks `gradient` and `saturated` from the flags of all images under attack: bool (N,), bool (N,)."""
    return [_gradient(usable), _saturated(saturated)]


def answers(predicted: numpy.ndarray, labels: numpy.ndarray, classes: int) -> list[Check]:
    """The checks `chance` and `constant` of a model's predictions on unmodified images: list of two Check.

    predicted: predicted classes, integers (N,).
    labels: true classes, integers (N,).
    classes: number of classes.
    A net at chance level cannot lose accuracy under attack, so nothing measured on it or derived from it has a meaning.
    Raises ValueError for no predictions, or another number of labels.
    """
    predicted, labels = numpy.asarray(predicted), numpy.asarray(labels)
    if not len(predicted) or predicted.shape != labels.shape:
        raise ValueError(
            f"predictions of shape {predicted.shape} and labels of shape {labels.shape}, expected as many, (N,)"
        )
    count, total = int((predicted == labels).sum()), len(labels)
    by_chance = int(scipy.stats.binom.ppf(1 - CHANCE, total, 1 / classes))
    seen = f"{count} of {total} images classified correctly"
    chance = Check(
        "chance", count > by_chance, seen, f"more than {by_chance}, which guessing reaches once in {1 / CHANCE:.0f}"
    )
    most_predicted, most_labelled = (int(numpy.bincount(column).max()) for column in (predicted, labels))
    constant = most_predicted >= NEARLY_ALL * total > most_labelled
    seen = f"one predicted class for {most_predicted} of {total} images"
    return [chance, Check("constant", not constant, seen, f"for fewer than {100 * NEARLY_ALL:.0f} %")]


def _logits(model, outputs):
    finite = bool(numpy.isfinite(outputs).all())
    probabilities = contract.probabilities(model, outputs) if finite else None
    seen = "finite outputs that are no probabilities"
    if probabilities:
        seen = f"probabilities ({probabilities})"
    elif not finite:
        non_finite = int((~numpy.isfinite(outputs)).any(axis=1).sum())
        seen = f"outputs that are NaN or infinite on {non_finite} of {len(outputs)} images"
    return Check("logits", finite and not probabilities, seen, LOGITS)


def _batch(logits, rebatched):
    spread = float(logits.std())
    change = float(numpy.abs(logits - rebatched).max())
    passed = change <= 0.01 * spread  # False of NaN
    seen = f"logits that change by {change:.2g} with the size of the batch"
    return Check("batch", passed, seen, f"at most {0.01 * spread:.2g}, a hundredth of their standard deviation")


def usable(model: keras.Model, x: numpy.ndarray, y: numpy.ndarray, *, batch_size: int = 256) -> numpy.ndarray:
    """Where the gradient of the attack loss is finite and not 0 everywhere: bool (N,). Arguments as `saturated`."""
    images, labels = contract.admit(model, x, y, batch_size=batch_size, squashed=True)
    gradient = compute.predict(compute.input_gradient(model, perturb.log_odds), images, labels, batch_size=batch_size)
    flat = gradient.reshape(len(gradient), -1)
    return numpy.isfinite(flat).all(axis=1) & (flat != 0).any(axis=1)


def _gradient(usable):
    seen = f"a finite gradient other than 0 on {int(usable.sum())} of {len(usable)} images"
    return Check("gradient", bool(usable.mean() >= USABLE), seen, f"on at least {100 * USABLE:.0f} %")


def saturated(model: keras.Model, x: numpy.ndarray, y: numpy.ndarray, *, batch_size: int = 256) -> numpy.ndarray:
    """Where p_y rounds to 1 in float32, so that the float32 cross-entropy's gradient loses the label's part: bool (N,).

    This is where 1 - p_y <= 2^-25, computed from the log-odds so that it does not depend on a softmax kernel.
    x: images (N, H, W, C), uint8 or float32 in [0, 1].
    y: integer labels (N,).
    """
    images, labels = contract.admit(model, x, y, batch_size=batch_size, squashed=True)
    odds = compute.predict(compute.compiled(model, _log_odds), images, labels, batch_size=batch_size)
    return odds <= -25 * numpy.log(2)


def _log_odds(call, images, labels):
    return perturb.log_odds(call(images), labels)


def _saturated(flags):
    seen = f"a float32 softmax of 1 at the label on {int(flags.sum())} of {len(flags)} images"
    passed = bool(flags.mean() <= SATURATED)
    return Check("saturated", passed, seen, f"on at most {100 * SATURATED:.0f} %", round(100 * float(flags.mean()), 1))


def _no_epsilon(clean, attacked):
    changed = int((clean != attacked).sum())
    seen = f"{changed} of {len(clean)} predicted classes changed by an attack of size 0"
    return Check("no-epsilon", changed == 0, seen, "0: accuracy at epsilon 0 is clean accuracy")


def _large_epsilon(count, shape):
    images, classes = shape
    most = images // classes + SLACK
    seen = f"{count} of {images} images correct under PGD at {LARGE:g}"
    return Check("large-epsilon", count <= most, seen, f"at most {most}, which is chance")


def _at_most(name, strong, weak, strong_case, weak_case):
    return Check(name, strong <= weak + SLACK, f"{strong} {strong_case}, {weak} {weak_case}", f"at most {SLACK} more")
