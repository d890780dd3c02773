"""The sixth claim of the class-wise study: Temperature-PGD beside PGD and CW, image by image, from packed flags."""

import numpy

from reporting import claims, statistics
from reporting.claims import Claim, Effect
from studies.classwise import attack as class_attack
from studies.classwise import rows as class_rows

SOURCE = "Tian, Kuang, Jiang, Wu, Wang, KDD 2021"


def temperature(rows):
    """Claim 6: Temperature-PGD fools more than PGD and CW of as many steps.

    One 1/T for both is chosen on every other image and judged on the rest, in all models together; intervals are a
    bootstrap over images, which all models share.
    """
    text = "Temperature-PGD is stronger than PGD and CW of as many steps"
    others = "pgd-20", "cw-linf-20"
    fooled = {}  # attack -> how many models it fools, of each image, one array a seed
    models = [row for row in class_rows.sound(rows) if all(class_rows.measure_of(row, name) for name in others)]
    names = [name for name in dict.fromkeys(_short(one) for row in models for one in row["flags"]) if "t-pgd-" in name]
    names = [name for name in names if all(class_rows.measure_of(row, name) for row in models)]
    if not names:
        return Claim(text, SOURCE, "Temperature-PGD was not run beside pgd-20 and cw-linf-20", "not measured")
    for name in (*names, *others):
        fooled[name] = _fooled(models, name)
    chosen = max(names, key=lambda name: sum(_gained(fooled, name, other, 0).sum() for other in others))
    level, effects = claims.confidence(len(others)), []
    for other in others:
        strata = [_gained(fooled, chosen, other, 1, seed) / len(models) for seed in range(len(fooled[chosen]))]
        found = statistics.paired_bootstrap(strata, confidence=level)
        interval = statistics.Interval(*(100 * end for end in (found.value, found.low, found.high)))
        effects.append(Effect(what=f"{chosen} beside {other}", interval=interval, digits=2, confidence=level))
    count = sum(len(one) for one in strata)
    said = f"more fooled: {'; '.join(map(str, effects))}; {len(models)} models, {count} images each, over images"
    return claims.judged(text, SOURCE, said, effects)


def _fooled(models, attack):
    """How many of the models the attack fools, of each image: a list of int (N,), one a seed."""
    texts = [row["flags"][class_rows.measure_of(row, attack)] for row in models]
    seeds = min(len(one) for one in texts)
    return [numpy.sum([~class_attack.unpacked(one[seed]) for one in texts], axis=0) for seed in range(seeds)]


def _gained(fooled, one, other, half, seed=None):
    """Fooled by one attack less fooled by the other, of every other image: the first half is even rows."""
    seeds = range(len(fooled[one])) if seed is None else [seed]
    return numpy.concatenate([(fooled[one][place] - fooled[other][place])[half::2] for place in seeds])


def _short(measure):
    return measure.removeprefix("white-box/").partition("@")[0]
