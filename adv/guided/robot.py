"""RobOT's pool of attacked training images and its retraining (Wang et al., ICSE 2021, section 5).

A model is retrained from its original weights on all clean training images and the selected ones of the pool
(adv/guided/selection.py), and measured on attacked test images that were made once on the original model.
1. [D] Fractions of the training images are those of the published counts: of 60,000 for MNIST, of 50,000 for CIFAR-10.
2. [D] The model of the last epoch is measured. The released code takes the epoch that is best on the test attacks.
3. [D] No augmentation, which shifts perturbations away.
4. [D] The learning rate is constant; published for CIFAR-10: 1e-5 after 25 epochs, of a ResNet-20.
5. [D] The other data sets take the settings of one of the two.
"""

from __future__ import annotations

import keras
import numpy

from adv import base, evaluate
from adv.guided.retraining import Recipe
from models import compute, contract, perturb

EPSILONS = {"mnist": 0.3, "fashion_mnist": 0.3, "digits": 0.3, "cifar10": 0.01, "gtsrb": 0.01, "intel": 0.01}
ATTACKS = {"fgsm": (1, 1.0), "pgd": (10, 1 / 6)}  # name -> (steps, step size as a fraction of epsilon) [P]
_MNIST = (1, 2, 3, 4, 6, 8, 10, 12, 16, 20)  # percent of the training images that are selected
_CIFAR = tuple(range(2, 21, 2))
PERCENT = {name: _MNIST if epsilon == 0.3 else _CIFAR for name, epsilon in EPSILONS.items()}
RECIPES = {
    name: Recipe(epochs=10, optimizer="adam")
    if epsilon == 0.3
    else Recipe(epochs=40, optimizer="adam", learning_rate=1e-4)
    for name, epsilon in EPSILONS.items()
}


def attack(
    model: keras.Model, x: numpy.ndarray, y: numpy.ndarray, name: str, *, epsilon: float, seed: int,
    batch_size: int = 256,
) -> numpy.ndarray:  # fmt: skip
    """The images after all steps of an attack of ATTACKS in the Linf ball, from a uniform start: float32 (N, H, W, C).

    model: returns logits.
    x: images (N, H, W, C), uint8 or floats in [0, 1].
    y: integer labels (N,).
    name: of ATTACKS.
    epsilon: Linf radius in [0, 1] pixel scale.
    seed: of the start.
    batch_size: images attacked together.
    Raises ValueError for another name, an epsilon out of range, and as adv.search.minimal.
    1. [D] The attack loss is the log-odds: the direction of the cross-entropy, also where that saturates.
    """
    if name not in ATTACKS:
        raise ValueError(f"attack is {name!r}, expected one of {', '.join(ATTACKS)}")
    evaluate.check_epsilon(epsilon, "linf")
    images, labels = contract.admit(model, x, y, batch_size=batch_size)
    steps, relative = ATTACKS[name]
    start = perturb.random_start(images, base.noise(images, seed=seed), epsilon)
    sizes = (numpy.full(len(images), size, numpy.float32) for size in (epsilon, relative * epsilon))
    constants = images, labels, *sizes
    (attacked,) = compute.repeat(model, _step, (start,), steps, constants=constants, leave=(), batch_size=batch_size)
    return attacked


def _step(call, index, x0, labels, epsilon, step_size, x):
    sizes = {"epsilon": epsilon, "step_size": step_size}
    return (perturb.ascent_step(call, x, x0, labels, **sizes, loss=perturb.log_odds)[0],)
