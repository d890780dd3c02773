"""Smallest perturbations that change a model's answer: one entry, `minimal`, and two searches over epsilon.

DARE's adversarials are the closest ones that foolbox 2.3.0 finds, which tries a size of perturbation after another
and keeps the nearest adversarial image it ever saw. Both of its searches are here for many images at once, with
the answer that one image at a time would give:

- `grid`, of its GradientSignAttack: the first success on a grid, then on a finer one below it;
- `bisection`, of its iterative attacks (`_run_binary_search`): grow until it succeeds, then halve.

Images are float32 (N, H, W, C) in [0, 1] and epsilon is in the same units (8/255, say). An attack (adv.attacks) is
an object with ``closest(model, images, labels, *, batch_size) -> (candidates, success)``.

Differences from foolbox 2.3.0:
1. [D] An adversarial counts only if the stored float32 array, predicted once more, is misclassified.
2. [D] The distance that decides which adversarial is nearest is summed in float64 (foolbox: float32).
"""

import dataclasses

import numpy

from models import compute, contract


@dataclasses.dataclass(frozen=True, eq=False)
class Minimal:
    """What `minimal` found: `images` float32 (N, H, W, C) in [0, 1] and `success` bool (N,).

    An image that the model misclassified from the start comes back unchanged with success True; one on which
    the attack failed comes back unchanged with success False.
    """

    images: numpy.ndarray
    success: numpy.ndarray


def minimal(model, x, y, attack, *, batch_size=256, progress=None):
    """Attack every image of `x` with as small a perturbation as the attack finds; returns Minimal.

    x: images, uint8 or floats in [0, 1], (N, H, W, C); y: integer labels (N,); attack: an entry of
    adv.attacks.ATTACKS, its name, or any object with `closest`; batch_size: images attacked together; progress:
    ``progress(done, total)`` is called after every batch.
    Raises ValueError for no images, labels outside the classes, and outputs that are probabilities, and
    models.NonFiniteLogits for outputs that are not finite.
    """
    if isinstance(attack, str):
        from adv import attacks  # which imports this file

        attack = attacks.get(attack)
    images, labels, predicted = judge(model, x, y, batch_size=batch_size)
    correct = predicted == labels
    result, success = images.copy(), ~correct
    targets = numpy.flatnonzero(correct)
    for start in range(0, len(targets), batch_size):
        rows = targets[start : start + batch_size]
        candidates, found = attack.closest(model, images[rows], labels[rows], batch_size=batch_size)
        found = found & (classes(model, candidates, batch_size=batch_size) != labels[rows])
        result[rows[found]] = candidates[found]
        success[rows] = found
        if progress is not None:
            progress(start + len(rows), len(targets))
    return Minimal(result, success)


def judge(model, x, y, *, batch_size=256):
    """Check a model, its images and their labels (models.contract), and predict them: (images float32, labels int32,
    predicted classes, int32 (N,)).

    Raises ValueError as `minimal` does: every attack and every evaluation starts here.
    """
    images, labels = contract.admit(model, x, y, batch_size=batch_size)
    logits = compute.predict(compute.forward(model), images, batch_size=batch_size)
    contract.check_logits(model, logits)
    return images, labels, logits.argmax(axis=1).astype(numpy.int32)


def classes(model, images, *, batch_size=256):
    """The class with the (first) largest logit of each image: (N,) integers."""
    return compute.predict(compute.forward(model), images, batch_size=batch_size).argmax(axis=1)


def grid(trial, count, *, epsilons=1000, fine=20, block=10):
    """The smallest epsilon that succeeds on a grid: float64 (count,), NaN where none does.

    foolbox 2.3.0, attacks/gradient.py, `_run` [P]: the first success over `epsilons` equal steps up to 1; where
    that is among the first 20, the first success over `fine` equal steps up to it.
    trial: ``trial(rows, epsilon)`` tells the success, bool (n, k), of epsilon (n, k) on the images `rows` (n,).
    block: k, how many epsilons are tried at once; images that have succeeded are tried no more.
    """
    coarse = numpy.linspace(0, 1, epsilons + 1)[1:]
    first = _first_success(trial, numpy.arange(count), numpy.broadcast_to(coarse, (count, epsilons)), block)
    found = numpy.where(first < epsilons, coarse[numpy.minimum(first, epsilons - 1)], numpy.nan)
    again = numpy.flatnonzero(first < 20)
    finer = numpy.linspace(0, found[again], fine + 1, axis=-1)[:, 1:]
    first = _first_success(trial, again, finer, block)
    hit = first < fine
    found[again[hit]] = finer[hit, first[hit]]
    return found


def _first_success(trial, rows, epsilon, block):
    """Index of the first success in each row of epsilon (n, K), tried from left to right; K where there is none."""
    first = numpy.full(len(rows), epsilon.shape[1])
    open_ = numpy.arange(len(rows))
    for start in range(0, epsilon.shape[1], block):
        if not len(open_):
            break
        success = trial(rows[open_], epsilon[open_, start : start + block])
        hit = success.any(axis=1)
        first[open_[hit]] = start + success[hit].argmax(axis=1)
        open_ = open_[~hit]
    return first


def bisection(trial, images, *, epsilon=0.3, growth=1.5, growths=20, bisections=20):
    """The closest adversarials of an attack of given size, by growing and halving epsilon: (candidates, success).

    foolbox 2.3.0, attacks/iterative_projected_gradient.py, `_run_binary_search` [P]: `growths` trials, the first
    at `epsilon` and each later one `growth` times larger, until one succeeds; then `bisections` trials halfway
    between the largest failure (0 at first) and the smallest success. Of all the successful trials the image
    nearest to the original (L2) is kept, the earlier one of equals.
    trial: ``trial(rows, epsilon)`` -> (candidates (n, H, W, C), success bool (n,)) for images `rows` (n,) at their
    own epsilon, float64 (n,). Failed images come back unchanged.
    """
    closest = images.copy()
    nearest = numpy.full(len(images), numpy.inf)

    def attempt(rows, sizes):
        candidates, success = trial(rows, sizes)
        distance = norm(candidates - images[rows], "l2")
        better = success & (distance < nearest[rows])
        closest[rows[better]] = candidates[better]
        nearest[rows[better]] = distance[better]
        return success

    good = numpy.full(len(images), numpy.nan)
    survivors = numpy.arange(len(images))
    for _ in range(growths):
        if not len(survivors):
            break
        success = attempt(survivors, numpy.full(len(survivors), float(epsilon)))
        good[survivors[success]] = epsilon
        survivors = survivors[~success]
        epsilon *= growth
    rows = numpy.flatnonzero(~numpy.isnan(good))
    bad, good = numpy.zeros(len(rows)), good[rows]
    for _ in range(bisections if len(rows) else 0):
        middle = (good + bad) / 2
        success = attempt(rows, middle)
        good, bad = numpy.where(success, middle, good), numpy.where(success, bad, middle)
    return closest, numpy.isfinite(nearest)


def inside(made, images, epsilon, name):
    """The images `made`, moved by rounding's width into the ball of epsilon around `images`: float32 (N, H, W, C).

    The perturbation of the stored float32 values, taken in float64, is then no larger than epsilon in the norm `name`:
    "linf" clips each value, "l1" and "l2" shrink the perturbation. Values stay in [0, 1] where they were.
    """
    exact = images.astype(numpy.float64)
    if name == "linf":
        low, high = (_rounded_inside(exact + side * epsilon, -side) for side in (-1, 1))
        return numpy.clip(made, low, high)
    change, shrink = made - exact, 1.0
    while (outside := norm(made - exact, name) > epsilon).any():
        shrink *= 1 - 2e-7
        factor = shrink * epsilon / norm(change[outside], name)
        made = made.copy()
        made[outside] = (exact[outside] + factor[:, None, None, None] * change[outside]).astype(numpy.float32)
    return made


def _rounded_inside(bound, side):
    """float64 bounds as the nearest float32 on the side of the images: upwards for 1, downwards for -1."""
    rounded = bound.astype(numpy.float32)
    outside = side * (rounded - bound) < 0
    return numpy.where(outside, numpy.nextafter(rounded, numpy.float32(side * numpy.inf)), rounded)


def norm(perturbation, name):
    """Size of each perturbation (N, H, W, C), float64 (N,): "l0" (values that differ), "l1" (sum), "l2" or "linf".

    Raises ValueError for another name.
    """
    flat = numpy.abs(perturbation.reshape(len(perturbation), -1).astype(numpy.float64))
    if name not in _NORMS:
        raise ValueError(f"norm is {name!r}, expected one of {', '.join(_NORMS)}")
    return _NORMS[name](flat)


_NORMS = {
    "l0": lambda flat: numpy.count_nonzero(flat, axis=1).astype(numpy.float64),
    "l1": lambda flat: flat.sum(axis=1),
    "l2": lambda flat: numpy.sqrt(numpy.square(flat).sum(axis=1)),
    "linf": lambda flat: flat.max(axis=1),
}
