"""The sixth claim of the class-wise study: Temperature-PGD beside PGD and CW, image by image, from packed flags."""

import numpy

from results import per_class, per_class_row, statistics
from results.claims import Claim

SOURCE = "Tian, Kuang, Jiang, Wu, Wang, KDD 2021"


def temperature(rows):
    """Claim 6: Temperature-PGD fools more than PGD and CW of as many steps.

    One 1/T for both is chosen on every other image and judged on the rest, in all models together; intervals are a
    bootstrap over images, which all models share, at a level that allows for two comparisons.
    """
    text = "Temperature-PGD is stronger than PGD and CW of as many steps"
    others = "pgd-20", "cw-linf-20"
    fooled = {}  # attack -> how many models it fools, of each image, one array a seed
    models = [row for row in per_class.models(rows) if all(per_class.measure_of(row, name) for name in others)]
    names = [name for name in dict.fromkeys(_short(one) for row in models for one in row["flags"]) if "t-pgd-" in name]
    names = [name for name in names if all(per_class.measure_of(row, name) for row in models)]
    if not names:
        return Claim(text, SOURCE, "Temperature-PGD was not run beside pgd-20 and cw-linf-20", "not measured")
    for name in (*names, *others):
        fooled[name] = _fooled(models, name)
    chosen = max(names, key=lambda name: sum(_gained(fooled, name, other, 0).sum() for other in others))
    said, ends = [], []
    for other in others:
        strata = [_gained(fooled, chosen, other, 1, seed) / len(models) for seed in range(len(fooled[chosen]))]
        found = statistics.paired_bootstrap(strata, confidence=0.975)
        count = sum(len(one) for one in strata)
        said.append(
            f"{chosen} beside {other}: {100 * found.value:+.2f} points [{100 * found.low:.2f}, {100 * found.high:.2f}] "
            "more fooled"
        )
        ends.append((found.low, found.high))
    said.append(f"{len(models)} models, {count} images each, 97.5 % intervals over images")
    verdict = "undecided"
    if all(low > 0 for low, _ in ends):
        verdict = "holds"
    elif any(high < 0 for _, high in ends):
        verdict = "does not hold"
    return Claim(text, SOURCE, "; ".join(said), verdict)


def _fooled(models, attack):
    """How many of the models the attack fools, of each image: a list of int (N,), one a seed."""
    texts = [row["flags"][per_class.measure_of(row, attack)] for row in models]
    seeds = min(len(one) for one in texts)
    return [numpy.sum([~per_class_row.unpacked(one[seed]) for one in texts], axis=0) for seed in range(seeds)]


def _gained(fooled, one, other, half, seed=None):
    """Fooled by one attack less fooled by the other, of every other image: the first half is even rows."""
    seeds = range(len(fooled[one])) if seed is None else [seed]
    return numpy.concatenate([(fooled[one][place] - fooled[other][place])[half::2] for place in seeds])


def _short(measure):
    return measure.removeprefix("white-box/").partition("@")[0]
