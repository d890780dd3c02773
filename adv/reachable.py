"""Into which classes an image can be attacked: one targeted PGD towards every class that is not its own."""

import numpy

from adv import search
from adv.attack import noise
from models import compute, perturb


def reachable(model, x, y, *, epsilon, steps=20, rel_stepsize=0.25, seed=0, batch_size=256, progress=None):
    """Whether the model can be made to name each class of each image within epsilon (Linf): bool (N, K).

    Towards class t the steps climb z_t - max over i != t of z_i from a random start and end where t is the largest
    logit; the robust confusion matrix of Tian et al. (KDD 2021) asks this of every pair of classes, the attack is ours
    [D]. x: images (N, H, W, C), uint8 or float32 in [0, 1]; y: integer labels (N,); column y is whether the image is
    right as it is; steps, rel_stepsize: of PGD, the latter a share of epsilon; progress: called as progress(done, K).
    Raises ValueError for an epsilon that is not above 0 and at most 1, and as adv.search.minimal.
    """
    if not 0 < epsilon <= 1:
        raise ValueError(f"epsilon is {epsilon}, expected a number above 0 and at most 1, as in 8/255")
    images, labels, said = search.judge(model, x, y, batch_size=batch_size)
    classes = model.output_shape[-1]
    reached = numpy.zeros((len(images), classes), bool)
    reached[numpy.arange(len(images)), labels] = said == labels
    start = perturb.random_start(images, noise(images, seed=seed), numpy.float32(epsilon))
    step = compute.compiled(model, _step)
    for target in range(classes):
        left = numpy.flatnonzero(labels != target)
        current = start[left]
        for _ in range(steps if len(left) else 0):
            towards = numpy.full(len(left), target, numpy.int32)
            sizes = (numpy.full(len(left), size, numpy.float32) for size in (epsilon, rel_stepsize * epsilon))
            current = compute.predict(step, images[left], current, towards, *sizes, batch_size=batch_size)
            hit = search.classes(model, current, batch_size=batch_size) == target
            reached[left[hit], target] = True
            left, current = left[~hit], current[~hit]
            if not len(left):
                break
        if progress is not None:
            progress(target + 1, classes)
    return reached


def _step(call, images, current, targets, epsilon, step_size):
    """One step towards the targets: down the margin by which another class is ahead of them."""
    sizes = {"epsilon": epsilon, "step_size": step_size}
    return perturb.ascent_step(call, current, images, targets, **sizes, loss=_lead)[0]


def _lead(logits, targets):
    return -perturb.margin(logits, targets)
