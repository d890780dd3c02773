"""The verdicts on the seven claims of the class-wise study (Tian et al., KDD 2021) for one cell.

A claim is a function from the rows (pooled over seeds) of one data set and model to a Claim. Models with raised checks
are left out. All models have the same classes and are attacked on the same images. Further models therefore add no
images or classes, and a mean over models has the interval of a single model.
"""

import itertools
from collections.abc import Mapping, Sequence

import numpy
import scipy.stats

from reporting import bootstrap, claims, marks, statistics
from reporting.claims import Claim, Effect
from reporting.statistics import Interval
from studies.classwise import claims_of_changes, tables
from studies.classwise import rows as class_rows

SOURCE = "Tian, Kuang, Jiang, Wu, Wang, KDD 2021"
GAP = 10.0  # points between the best and the worst class that are a strong difference
ALIKE = 0.5  # rank correlation of class accuracies above which their order is the same
MAINLY = 0.5  # fraction of the additionally fooled images


def disparity(rows: Sequence[Mapping]) -> Claim:
    """Claim 1: robust accuracy differs between classes by more than GAP, in the mean over models.

    The interval is simultaneous for all pairs of classes. With few images of each class it reaches 0 whatever was
    measured, because the best and the worst of ten classes always differ.
    """
    text = "Robust accuracy differs strongly between classes"
    models = [
        (row["method"], class_rows.divided(row["measures"][class_rows.worst(row)])) for row in class_rows.sound(rows)
    ]
    if not models:
        return Claim(text, SOURCE, "no robust model without raised checks", "not measured")
    gaps = [statistics.largest_gap(by_class.correct, by_class.total) for _, by_class in models]
    mean = Interval(*(100 * numpy.mean([getattr(gap, part) for gap in gaps]) for part in ("value", "low", "high")))
    effect = Effect(what="largest minus smallest accuracy of a class", interval=mean, needed=GAP)
    (low, lowest), (high, highest) = (
        pick((100 * by_class.spread, method) for method, by_class in models) for pick in (min, max)
    )
    evidence = (
        f"{effect}, mean of {len(models)} models ({low:.0f}, {lowest}, to {high:.0f}, {highest}) on "
        f"{_images(models[0][1].total)} images of each class; more than {GAP:.0f} is strong"
    )
    return claims.judged(text, SOURCE, evidence, [effect])


def _images(totals):
    low, high = min(totals), max(totals)
    return f"{low}" if low == high else f"{low} to {high}"


def consistency(rows: Sequence[Mapping]) -> Claim:
    """Claim 2: the order of the classes is the same for all attacks, one of each kind, and for all defences.

    Accuracies over few images are noisy, and noise lowers a rank correlation. Noise alone must not exclude the claim.
    The upper end of the interval is therefore divided by the mean reliability of the pairs (Spearman 1904, correction
    for attenuation), and is 1 if nothing but noise was measured.
    """
    text = "The order of the classes is the same over attacks and defences"
    models = class_rows.sound(rows)
    pairs = {"attacks": [], "defences": []}
    for row in models:
        names = [name for name in (class_rows.measure_of(row, attack) for attack in FAMILIES) if name]
        pairs["attacks"] += [(row["measures"][a], row["measures"][b]) for a, b in itertools.combinations(names, 2)]
    for both in itertools.combinations(models, 2):
        pairs["defences"].append(tuple(row["measures"][class_rows.worst(row)] for row in both))
    effects, phrases, level = [], [], claims.confidence(len(pairs))
    for name, measured in pairs.items():
        if measured:
            shares = [[class_rows.divided(measure).share for measure in pair] for pair in measured]
            values = [statistics.spearman(*pair) for pair in shares]
            interval = statistics.correlation(float(numpy.mean(values)), len(shares[0][0]), confidence=level)
            interval = Interval(interval.value, interval.low, _corrected(interval.high, measured))
            effect = Effect(
                what=f"between {name}", interval=interval, needed=ALIKE, scale="correlation", unit="", confidence=level
            )
            effects.append(effect)
            phrases.append(f"{effect}, at least {min(values):.2f}, over {len(measured)} pairs")
    if len(effects) < 2:
        return Claim(text, SOURCE, "; ".join(phrases) or "fewer than two models", "not measured")
    evidence = f"mean rank correlation (Spearman) of class accuracies {'; '.join(phrases)}; intervals over classes"
    return claims.judged(text, SOURCE, evidence, effects)


def _corrected(high, pairs):
    """The upper end of a mean correlation of class accuracies, corrected for their noise."""
    reliability = numpy.mean([numpy.sqrt(_reliability(first) * _reliability(second)) for first, second in pairs])
    return 1.0 if reliability == 0 else min(1.0, max(high, high / float(reliability)))


def _reliability(measure):
    """The fraction of the variance of class accuracies that is not due to the sample of images.

    1 - 1 / F, with F the chi-squared statistic per degree of freedom; 0 if F < 1.
    """
    correct, total = numpy.array(measure["right"]), numpy.array(measure["total"])
    if correct.sum() in (0, total.sum()):
        return 0.0
    statistic, _, freedom, _ = scipy.stats.chi2_contingency([correct, total - correct])
    return max(0.0, 1 - freedom / statistic) if statistic else 0.0


FAMILIES = ("fgsm", "pgd-20", "cw-linf-20", "apgd-ce")  # one attack of each kind: t-pgd-1 is pgd-20 again
STRONGER = (("fgsm", "pgd-20"), ("pgd-20", "apgd-ce"), ("pgd-20", "worst"))


def stronger(rows: Sequence[Mapping]) -> Claim:
    """Claim 3: the images that a stronger attack fools in addition lie mainly in the more vulnerable classes.

    All models are attacked on the same images, so the interval is for the largest number that any single model gained.
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
    gained = {name: numpy.array(counts) for name, counts in gained.items()}
    gained = {name: counts for name, counts in gained.items() if counts[:, 1].sum() >= 10}
    if not gained:
        return Claim(text, SOURCE, "no stronger attack fooled at least ten more images", "not measured")
    effects, level = [], claims.confidence(len(gained))
    for name, counts in gained.items():
        share, once = counts[:, 0].sum() / counts[:, 1].sum(), int(counts[:, 1].max())
        interval = statistics.wilson(round(share * once), once, confidence=level)
        interval = Interval(share, interval.low, interval.high)
        what = f"{name} ({counts[:, 1].sum()} images, at most {once} for one model)"
        effects.append(Effect(what=what, interval=interval, needed=MAINLY, scale="share", unit="%", confidence=level))
    evidence = (
        "fraction of the additionally fooled images that are in the more vulnerable half of the classes: "
        f"{'; '.join(map(str, effects))}"
    )
    return claims.judged(text, SOURCE, evidence, effects)


def weight_norms(rows: Sequence[Mapping]) -> Claim:
    """Claim 4: classes with a larger weight norm in the last layer are more robust."""
    text = "A class's robustness increases with the norm of its classifier weights"
    correlations = []
    for row in class_rows.sound(rows):
        norms = numpy.mean(row["weight_norms"], axis=0)
        share = class_rows.divided(row["measures"][class_rows.worst(row)]).share
        correlations.append((statistics.spearman(norms, share), row["method"]))
    if not correlations:
        return Claim(text, SOURCE, "no robust model without raised checks", "not measured")
    values, classes = [value for value, _ in correlations], len(rows[0]["classes"])
    interval = statistics.correlation(float(numpy.mean(values)), classes)
    effect = Effect(what="rank correlation (Spearman)", interval=interval, scale="correlation", unit="")
    evidence = (
        f"{effect} over {classes} classes, mean of {len(correlations)} models ({min(values):.2f} to {max(values):.2f})"
    )
    return claims.judged(text, SOURCE, evidence, [effect])


def temperature(rows: Sequence[Mapping]) -> Claim:
    """Claim 6: Temperature-PGD fools more images than PGD and CW with as many steps.

    A common 1/T is chosen on every other image and judged on the rest, for all models together. The intervals are a
    bootstrap over images, which all models share.
    """
    text = "Temperature-PGD is stronger than PGD and CW of as many steps"
    references = "pgd-20", "cw-linf-20"
    fooled = {}  # attack -> for each seed, the number of models that it fools on each image
    models = [row for row in class_rows.sound(rows) if all(class_rows.measure_of(row, name) for name in references)]
    names = [
        name
        for name in dict.fromkeys(_short(measure) for row in models for measure in row["flags"])
        if "t-pgd-" in name
    ]
    names = [name for name in names if all(class_rows.measure_of(row, name) for row in models)]
    if not names:
        return Claim(
            text, SOURCE, "Temperature-PGD, pgd-20 and cw-linf-20 were not all run on one model", "not measured"
        )
    for name in (*names, *references):
        fooled[name] = _fooled(models, name)
    chosen = max(names, key=lambda name: sum(_gained(fooled, name, reference, 0).sum() for reference in references))
    level, effects = claims.confidence(len(references)), []
    for reference in references:
        strata = [_gained(fooled, chosen, reference, 1, seed) / len(models) for seed in range(len(fooled[chosen]))]
        gap = bootstrap.paired_bootstrap(strata, confidence=level)
        interval = statistics.Interval(*(100 * end for end in (gap.value, gap.low, gap.high)))
        effects.append(Effect(what=f"{chosen} minus {reference}", interval=interval, digits=2, confidence=level))
    count = sum(len(stratum) for stratum in strata)
    evidence = (
        f"fooled: {'; '.join(map(str, effects))}; {len(models)} models, {count} images each; intervals over images"
    )
    return claims.judged(text, SOURCE, evidence, effects)


def _fooled(models, attack):
    """For each seed, the number of models that the attack fools on each image: a list of int (N,)."""
    texts = [row["flags"][class_rows.measure_of(row, attack)] for row in models]
    seeds = min(len(by_seed) for by_seed in texts)
    return [numpy.sum([~class_rows.unpacked(by_seed[seed]) for by_seed in texts], axis=0) for seed in range(seeds)]


def _gained(fooled, first, second, half, seed=None):
    """Models fooled by the first attack minus those by the second, on the even (half 0) or odd (half 1) images."""
    seeds = range(len(fooled[first])) if seed is None else [seed]
    return numpy.concatenate([(fooled[first][place] - fooled[second][place])[half::2] for place in seeds])


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


def claims_table(rows: Sequence[Mapping]) -> claims.Judged:
    """The table of the seven claims for the rows (pooled over seeds) of one data set and model."""
    dataset, model = rows[0]["dataset"], rows[0]["model"]
    name = f"{tables.name_of(dataset, model)}-claims"
    judged = [claim(rows) for claim in CLAIMS.values()]
    _, left_out = marks.sound(rows)
    return claims.table(name, f"{dataset}, {model}", "the claims on robustness by class", judged, left_out)


def show(claim: Claim) -> None:
    """Print a Claim."""
    detectable = f"; would have shown from: {claim.detectable}" if claim.detectable else ""
    print(f"claim: {claim.claim}\nevidence: {claim.evidence}\nverdict: {claim.verdict}{detectable}")
