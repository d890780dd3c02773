"""The adversarial inputs of guided retraining: a third of them by each of three attacks, whether they fool or not.

The study's profile "as-run" is what its code did: foolbox's L2BasicIterative under the name of CW, L1BasicIterative
under that of BIM, and FGSM, each within .05 in its own norm [P]. "as-named" runs what the names say: Carlini-Wagner's
L2, Linf-BIM and FGSM [D].
"""

import foolbox
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
MINIMAL = ("cw",)  # of "as-named": it has no epsilon


def choose(count, available, seed, part):
    """Rows of the inputs to attack: `count` of `available` without replacement, in the order drawn. [P; seeded D]

    part: 0 of the training part, 1 of the test part.
    """
    if not 3 <= count <= available:
        raise ValueError(f"{count} adversarial inputs of {available}, expected at least 3 and no more than there are")
    return stream(seed, "transformed inputs", part).permutation(available)[: 3 * (count // 3)]


def attack(model, x, y, *, profile="as-run", epsilon=EPSILON, duplicate_fgsm=False, batch_size=256, progress=None):
    """The adversarial inputs of images x (N, H, W, C), in thirds: (float32 images, names of the attacks (N,)).

    y: integer labels (N,); model: Keras, logits; profile: of PROFILES; epsilon: in each attack's norm, [0, 1] pixel
    scale; duplicate_fgsm: the first third is FGSM's images of the last third, as the study's run on CIFAR-10 overwrote
    it [P], so that their labels must be repeated too (`duplicated`). Raises ValueError for another profile.
    """
    if profile not in PROFILES:
        raise ValueError(f"no profile {profile!r}, expected one of {', '.join(PROFILES)}")
    images, labels = data.to_unit(x), numpy.asarray(y)
    third = len(images) // 3
    names = numpy.repeat(list(PROFILES[profile]), [third, third, len(images) - 2 * third])
    made = images.copy()
    for place, (name, one) in enumerate(PROFILES[profile].items()):
        rows = numpy.flatnonzero(names == name)
        if not len(rows):  # fewer images than attacks
            continue
        options = {} if profile == "as-named" and name in MINIMAL else {"epsilon": epsilon}
        found = foolbox_model.run(one, model, images[rows], labels[rows], batch_size=batch_size, **options)
        made[rows] = numpy.clip(numpy.where(numpy.isfinite(found), found, images[rows]), 0, 1)
        if progress is not None:
            progress(place + 1, 3, name)
    if duplicate_fgsm:
        made[:third] = made[-third:]
        names[:third] = "fgsm"
    return made, names


def duplicated(values):
    """Labels, or rows, of inputs whose first third repeats the last."""
    values = numpy.array(values)
    third = len(values) // 3
    values[:third] = values[-third:]
    return values
