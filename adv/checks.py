"""Checks that tell when robustness was not measured but hidden, run beside every test on a few dozen images.

An attack that follows the gradient can fail for reasons other than a robust model: outputs that are probabilities,
gradients that vanish or are not numbers, predictions that depend on the rest of the batch or on chance. The checks are
those of Athalye, Carlini, Wagner (ICML 2018, section 3.1) and Carlini et al. (arXiv 1902.06705, section 5), with
thresholds of our own [D]. docs/checks.md has a paragraph on each of NAMES: raised if, why, what to do.
"""

import dataclasses

import numpy
import scipy.stats

import data
from adv import fgsm, pgd, search
from models import compute, perturb

NAMES = ("logits", "batch", "gradient", "no-epsilon", "iterative", "large-epsilon", "transfer")
NAMES += ("chance", "constant")  # of the answers themselves: `answers`
IMAGES = 32
LARGE = 0.5  # grey is this far from every image
USABLE = 0.9  # share of images whose gradient can be followed
SLACK = 1  # images by which a weaker attack may do better by chance
CHANCE = 0.05  # how often guessing may look like knowing
NEARLY_ALL = 0.9  # share of images with one predicted class from which on an answer is constant
STEPS = pgd.PGD(steps=10, rel_stepsize=0.25)


@dataclasses.dataclass(frozen=True)
class Check:
    """One check: its name, whether it was passed, and what was seen and expected, in words."""

    name: str
    passed: bool
    seen: str
    expected: str


def transferable(model, x, y, *, epsilon, batch_size=256):
    """The images `x` attacked on `model` within epsilon (Linf), for `check` of another: float32 (N, H, W, C)."""
    return STEPS.within(model, data.to_unit(x), numpy.asarray(y, numpy.int32), epsilon=epsilon, batch_size=batch_size)


def check(model, x, y, *, epsilon, transferred=None, batch_size=256):
    """Every check of a model on its own images: list of Check, in the order of NAMES.

    x: images (N, H, W, C), uint8 or float32 in [0, 1]; y: integer labels (N,); epsilon: the largest Linf perturbation
    that the model is said to be tested with; transferred: images within epsilon of `x` that were made on another
    model (`transferable`), without which there is no check of transfer. Unlike everything else it accepts outputs that
    are no logits. Raises ValueError for no images.
    """
    images, labels = data.to_unit(x), numpy.asarray(y, numpy.int32)
    run = compute.forward(model)
    logits = compute.predict(run, images, batch_size=batch_size)
    clean = logits.argmax(axis=1) == labels

    def right(attacked):
        return int((search.classes(model, attacked, batch_size=batch_size) == labels).sum())

    def attacked(attack, epsilon):
        moved, rows = images.copy(), numpy.flatnonzero(clean)
        if len(rows):
            moved[rows] = attack.within(model, images[rows], labels[rows], epsilon=epsilon, batch_size=batch_size)
        return moved

    slope = compute.predict(compute.input_gradient(model, perturb.cross_entropy), images, labels, batch_size=batch_size)
    one, many = right(attacked(fgsm.FGSM(), epsilon)), right(attacked(STEPS, epsilon))
    made = [
        _logits(logits),
        _batch(logits, compute.predict(run, images, batch_size=max(1, len(images) // 4))),
        _gradient(slope),
        _no_epsilon(clean, search.classes(model, attacked(fgsm.FGSM(), 0), batch_size=batch_size) == labels),
        _at_most("iterative", many, one, f"right under PGD at {epsilon:.3g}", "under FGSM"),
        _large_epsilon(right(attacked(STEPS, LARGE)), logits.shape),
    ]
    if transferred is not None:
        what = f"right under PGD at {epsilon:.3g}"
        made.append(_at_most("transfer", many, right(transferred), what, "under the same attack on another model"))
    return [*made, *answers(logits.argmax(axis=1), labels, logits.shape[1])]


def answers(said, labels, classes):
    """The checks `chance` and `constant` of a model's predictions on unmodified images: list of two Check.

    said: predicted classes, integers (N,); labels: true ones (N,); classes: their number. A net that knows nothing
    cannot lose it under attack, and everything measured of it, or made of it, says nothing. Raises ValueError for none.
    """
    said, labels = numpy.asarray(said), numpy.asarray(labels)
    if not len(said) or said.shape != labels.shape:
        raise ValueError(
            f"predictions of shape {said.shape} and labels of shape {labels.shape}, expected as many, (N,)"
        )
    count, total = int((said == labels).sum()), len(labels)
    most = int(scipy.stats.binom.ppf(1 - CHANCE, total, 1 / classes))
    seen = f"{count} of {total} images classified correctly"
    chance = Check("chance", count > most, seen, f"more than {most}, which guessing reaches once in {1 / CHANCE:.0f}")
    often, expected = (int(numpy.bincount(one).max()) for one in (said, labels))
    constant = often >= NEARLY_ALL * total > expected
    seen = f"one predicted class for {often} of {total} images"
    return [chance, Check("constant", not constant, seen, f"for fewer than {100 * NEARLY_ALL:.0f} %")]


def _logits(outputs):
    sums = outputs.sum(axis=1, dtype=numpy.float64)
    finite = bool(numpy.isfinite(outputs).all())
    probabilities = finite and bool((outputs >= 0).all()) and numpy.allclose(sums, 1, atol=1e-3)
    seen = "finite outputs that are no probabilities"
    if probabilities:
        seen = "rows of numbers of at least 0 that sum to 1"
    elif not finite:
        bad = int((~numpy.isfinite(outputs)).any(axis=1).sum())
        seen = f"outputs that are NaN or infinite on {bad} of {len(outputs)} images"
    return Check("logits", finite and not probabilities, seen, "logits: finite, before softmax")


def _batch(logits, again):
    spread = float(logits.std())
    change = float(numpy.abs(logits - again).max())
    passed = change <= 0.01 * spread  # False of NaN
    seen = f"logits that change by {change:.2g} with the size of the batch"
    return Check("batch", passed, seen, f"at most {0.01 * spread:.2g}, a hundredth of their standard deviation")


def _gradient(slope):
    flat = slope.reshape(len(slope), -1)
    usable = numpy.isfinite(flat).all(axis=1) & (flat != 0).any(axis=1)
    seen = f"a finite gradient other than 0 on {int(usable.sum())} of {len(flat)} images"
    return Check("gradient", bool(usable.mean() >= USABLE), seen, f"on at least {100 * USABLE:.0f} %")


def _no_epsilon(clean, attacked):
    changed = int((clean != attacked).sum())
    seen = f"{changed} of {len(clean)} answers changed by an attack of size 0"
    return Check("no-epsilon", changed == 0, seen, "0: accuracy at epsilon 0 is clean accuracy")


def _large_epsilon(count, shape):
    images, classes = shape
    most = images // classes + SLACK
    seen = f"{count} of {images} images right under PGD at {LARGE:g}"
    return Check("large-epsilon", count <= most, seen, f"at most {most}, which is chance")


def _at_most(name, strong, weak, what, other):
    return Check(name, strong <= weak + SLACK, f"{strong} {what}, {weak} {other}", f"at most {SLACK} more")
