"""The seven claims of the class-wise study (Tian et al., KDD 2021), each with what the rows of one cell say of it.

A claim is a function from the rows (pooled over seeds) of one data set and model to a Claim. Models whose checks were
raised are left out. All models are attacked on the same images and have the same classes, so more models are no more
images and no more classes: a mean over models has the interval of one of them.
"""

import itertools

import numpy
import scipy.stats

from reporting import claims, marks, statistics
from reporting.claims import Claim, Effect
from reporting.statistics import Interval
from studies.classwise import claims_of_changes, tables
from studies.classwise import rows as class_rows

SOURCE = "Tian, Kuang, Jiang, Wu, Wang, KDD 2021"
GAP = 10.0  # points between the best and the worst class that count as a strong difference
ALIKE = 0.5  # rank correlation of class accuracies from which on their order is the same
MAINLY = 0.5  # share of what is fooled in addition


def disparity(rows):
    """Claim 1: the classes of one model differ in robust accuracy, by much: in the mean over models, more than GAP.

    The interval is that of the largest of all differences between two classes at once: of a few images a class it
    reaches to 0 whatever was measured, since the best and the worst of ten always differ.
    """
    text = "Robust accuracy differs strongly between classes"
    found = [
        (row["method"], class_rows.divided(row["measures"][class_rows.worst(row)])) for row in class_rows.sound(rows)
    ]
    if not found:
        return Claim(text, SOURCE, "no model with robust accuracy left", "not measured")
    gaps = [statistics.largest_gap(one.correct, one.total) for _, one in found]
    mean = Interval(*(100 * numpy.mean([getattr(gap, part) for gap in gaps]) for part in ("value", "low", "high")))
    effect = Effect(what="largest minus smallest accuracy of a class", interval=mean, needed=GAP)
    (low, lowest), (high, highest) = (pick((100 * one.spread, method) for method, one in found) for pick in (min, max))
    evidence = (
        f"{effect}, mean of {len(found)} models ({low:.0f}, {lowest}, to {high:.0f}, {highest}) on "
        f"{_images(found[0][1].total)} images of each class; {GAP:.0f} would be strong"
    )
    return claims.judged(text, SOURCE, evidence, [effect])


def _images(totals):
    low, high = min(totals), max(totals)
    return f"{low}" if low == high else f"{low} to {high}"


def consistency(rows):
    """Claim 2: the order of the classes is the same for all attacks, one of each kind, and all defences.

    Accuracies of few images are noisy, and noise lowers a rank correlation. So that it excludes nothing, the upper end
    is divided by the mean reliability of the pairs (Spearman 1904, correction for attenuation), and is 1 where nothing
    but noise was measured.
    """
    text = "The order of the classes is the same over attacks and defences"
    models = class_rows.sound(rows)
    pairs = {"attacks": [], "defences": []}
    for row in models:
        names = [name for name in (class_rows.measure_of(row, attack) for attack in FAMILIES) if name]
        pairs["attacks"] += [(row["measures"][a], row["measures"][b]) for a, b in itertools.combinations(names, 2)]
    for one, other in itertools.combinations(models, 2):
        pairs["defences"].append(tuple(row["measures"][class_rows.worst(row)] for row in (one, other)))
    effects, said, level = [], [], claims.confidence(len(pairs))
    for name, found in pairs.items():
        if found:
            shares = [[class_rows.divided(one).share for one in pair] for pair in found]
            values = [statistics.spearman(*pair) for pair in shares]
            interval = statistics.correlation(float(numpy.mean(values)), len(shares[0][0]), confidence=level)
            interval = Interval(interval.value, interval.low, _corrected(interval.high, found))
            effect = Effect(
                what=f"between {name}", interval=interval, needed=ALIKE, scale="correlation", unit="", confidence=level
            )
            effects.append(effect)
            said.append(f"{effect}, at least {min(values):.2f}, over {len(found)} pairs")
    if len(effects) < 2:
        return Claim(text, SOURCE, "; ".join(said) or "fewer than two models", "not measured")
    evidence = f"mean rank correlation (Spearman) of class accuracies {'; '.join(said)}; intervals over classes"
    return claims.judged(text, SOURCE, evidence, effects)


def _corrected(high, pairs):
    """The upper end of a mean correlation of class accuracies, had they been measured without noise."""
    reliable = numpy.mean([numpy.sqrt(_reliability(one) * _reliability(other)) for one, other in pairs])
    return 1.0 if reliable == 0 else min(1.0, max(high, high / float(reliable)))


def _reliability(measure):
    """Share of the variance of class accuracies that is not that of the images: 1 - 1 / F, F the chi-squared statistic
    a degree of freedom; 0 where it is less than 1."""
    right, total = numpy.array(measure["right"]), numpy.array(measure["total"])
    if right.sum() in (0, total.sum()):
        return 0.0
    statistic, _, freedom, _ = scipy.stats.chi2_contingency([right, total - right])
    return max(0.0, 1 - freedom / statistic) if statistic else 0.0


FAMILIES = ("fgsm", "pgd-20", "cw-linf-20", "apgd-ce")  # one attack of each kind: t-pgd-1 is pgd-20 again
STRONGER = (("fgsm", "pgd-20"), ("pgd-20", "apgd-ce"), ("pgd-20", "worst"))


def stronger(rows):
    """Claim 3: what a stronger attack fools beyond a weaker one lies mainly in the classes that were vulnerable.

    The models are attacked on the same images: the interval is of as many images as one of them gained at most.
    """
    text = "Stronger attacks gain mainly on the vulnerable classes"
    gained = {}
    for weak, strong in STRONGER:
        for row in class_rows.sound(rows):
            names = [class_rows.measure_of(row, name) for name in (weak, strong)]
            if None not in names:
                before, after = (class_rows.divided(row["measures"][name]) for name in names)
                gains = numpy.maximum(before.correct - after.correct, 0)
                half = numpy.argsort(before.share, kind="stable")[: len(gains) // 2]
                gained.setdefault(f"{weak} to {strong}", []).append((gains[half].sum(), gains.sum()))
    gained = {name: numpy.array(found) for name, found in gained.items()}
    gained = {name: found for name, found in gained.items() if found[:, 1].sum() >= 10}
    if not gained:
        return Claim(text, SOURCE, "no stronger attack fooled ten more images", "not measured")
    effects, level = [], claims.confidence(len(gained))
    for name, found in gained.items():
        share, once = found[:, 0].sum() / found[:, 1].sum(), int(found[:, 1].max())
        interval = statistics.wilson(round(share * once), once, confidence=level)
        interval = Interval(share, interval.low, interval.high)
        what = f"{name} ({found[:, 1].sum()} images, {once} of one model)"
        effects.append(Effect(what=what, interval=interval, needed=MAINLY, scale="share", unit="%", confidence=level))
    evidence = (
        "share of the images fooled in addition that are of the more vulnerable half of classes: "
        f"{'; '.join(map(str, effects))}"
    )
    return claims.judged(text, SOURCE, evidence, effects)


def weight_norms(rows):
    """Claim 4: a class whose weight vector in the last layer is longer is more robust."""
    text = "A class's robustness goes with the norm of its classifier weights"
    found = []
    for row in class_rows.sound(rows):
        norms = numpy.mean(row["weight_norms"], axis=0)
        share = class_rows.divided(row["measures"][class_rows.worst(row)]).share
        found.append((statistics.spearman(norms, share), row["method"]))
    if not found:
        return Claim(text, SOURCE, "no model with robust accuracy left", "not measured")
    values, classes = [value for value, _ in found], len(rows[0]["classes"])
    interval = statistics.correlation(float(numpy.mean(values)), classes)
    effect = Effect(what="rank correlation (Spearman)", interval=interval, scale="correlation", unit="")
    evidence = f"{effect} over {classes} classes, mean of {len(found)} models ({min(values):.2f} to {max(values):.2f})"
    return claims.judged(text, SOURCE, evidence, [effect])


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
    return [numpy.sum([~class_rows.unpacked(one[seed]) for one in texts], axis=0) for seed in range(seeds)]


def _gained(fooled, one, other, half, seed=None):
    """Fooled by one attack less fooled by the other, of every other image: the first half is even rows."""
    seeds = range(len(fooled[one])) if seed is None else [seed]
    return numpy.concatenate([(fooled[one][place] - fooled[other][place])[half::2] for place in seeds])


def _short(measure):
    return measure.removeprefix("white-box/").partition("@")[0]


CLAIMS = {
    "disparity": disparity,
    "consistency": consistency,
    "stronger": stronger,
    "weight_norms": weight_norms,
    "similar": claims_of_changes.similar,
    "temperature": temperature,
    "levers": claims_of_changes.levers,
}


def claims_table(rows):
    """A Table of the seven claims for the rows (pooled over seeds) of one data set and model."""
    dataset, model = rows[0]["dataset"], rows[0]["model"]
    name = f"{tables.name_of(dataset, model)}-claims"
    found = [claim(rows) for claim in CLAIMS.values()]
    _, left_out = marks.sound(rows)
    return claims.table(name, f"{dataset}, {model}", "the claims on robustness by class", found, left_out)


def show(found):
    """Print a Claim."""
    beyond = f"; would have shown from: {found.detectable}" if found.detectable else ""
    print(f"claim: {found.claim}\nevidence: {found.evidence}\nverdict: {found.verdict}{beyond}")
