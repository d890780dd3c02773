"""The attacked inputs of guided retraining: a third each by three attacks, successful or not.

Profile "as-run" is what the study's code did: L2BasicIterative called CW, L1BasicIterative called BIM, and FGSM, each
within .05 in its own norm [P]. Profile "as-named" runs the attacks of these names: Carlini-Wagner's L2, Linf-BIM and
FGSM [D].
"""

from __future__ import annotations

from collections.abc import Callable

import foolbox
import keras
import numpy

import data
from adv import foolbox_model
from train.seeds import stream

EPSILON = 0.05
PROFILES = {
    "as-run": {
        "cw": foolbox.attacks.L2BasicIterativeAttack(),
        "bim": foolbox.attacks.L1BasicIterativeAttack(),
        "fgsm": foolbox.attacks.LinfFastGradientAttack(),
    },
    "as-named": {
        "cw": foolbox.attacks.L2CarliniWagnerAttack(binary_search_steps=4, steps=60, stepsize=0.02, initial_const=1.0),
        "bim": foolbox.attacks.LinfBasicIterativeAttack(),
        "fgsm": foolbox.attacks.LinfFastGradientAttack(),
    },
}
MINIMAL = ("cw",)  # attacks of "as-named" without an epsilon


def choose(count: int, available: int, seed: int, part: int) -> numpy.ndarray:
    """Rows of the inputs to attack: `count` of `available` without replacement, in the order drawn. [P; seeded D]

    seed: of the drawing.
    part: 0 for the training part, 1 for the test part.
    Raises ValueError for fewer than 3 inputs, and for more than available.
    """
    if not 3 <= count <= available:
        raise ValueError(f"{count} adversarial inputs of {available}, expected at least 3 and no more than there are")
    return stream(seed, "transformed inputs", part).permutation(available)[: 3 * (count // 3)]


def attack(
    model: keras.Model,
    x: numpy.ndarray,
    y: numpy.ndarray,
    *,
    profile: str = "as-run",
    epsilon: float = EPSILON,
    duplicate_fgsm: bool = False,
    batch_size: int = 256,
    progress: Callable | None = None,
) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Attack images, a third with each attack: (float32 images (N, H, W, C), names of the attacks (N,)).

    model: Keras model that returns logits.
    x: images (N, H, W, C).
    y: integer labels (N,).
    profile: of PROFILES.
    epsilon: in each attack's norm, in [0, 1] pixel scale.
    duplicate_fgsm: replace the first third by FGSM's images of the last third, as the study's run on CIFAR-10 did [P];
        their labels must then be repeated too (`duplicated`).
    batch_size: images attacked together.
    progress: called as progress(done, 3, name).
    Raises ValueError for another profile.
    """
    if profile not in PROFILES:
        raise ValueError(f"no profile {profile!r}, expected one of {', '.join(PROFILES)}")
    images, labels = data.to_unit(x), numpy.asarray(y)
    third = len(images) // 3
    names = numpy.repeat(list(PROFILES[profile]), [third, third, len(images) - 2 * third])
    attacked = images.copy()
    for place, (name, member) in enumerate(PROFILES[profile].items()):
        rows = numpy.flatnonzero(names == name)
        if not len(rows):  # fewer images than attacks
            continue
        options = {} if profile == "as-named" and name in MINIMAL else {"epsilon": epsilon}
        output = foolbox_model.run(member, model, images[rows], labels[rows], batch_size=batch_size, **options)
        attacked[rows] = numpy.clip(numpy.where(numpy.isfinite(output), output, images[rows]), 0, 1)
        if progress is not None:
            progress(place + 1, 3, name)
    if duplicate_fgsm:
        attacked[:third] = attacked[-third:]
        names[:third] = "fgsm"
    return attacked, names


def duplicated(values: numpy.ndarray) -> numpy.ndarray:
    """Labels or rows of inputs whose first third repeats the last third. values: those of all inputs (N,)."""
    values = numpy.array(values)
    third = len(values) // 3
    values[:third] = values[-third:]
    return values
