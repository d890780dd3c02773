"""The seven claims of the class-wise study (Tian et al., KDD 2021), each with what the rows of one cell say of it.

A claim is a function from the rows (pooled over seeds) of one data set and model to a Claim. Intervals of shares are
Wilson's over images; those of rank correlations are Fisher's over classes, of which there are few.
"""

import itertools

import numpy
import scipy.stats

from results import claims, per_class, per_class_temperature, statistics
from results.claims import Claim

SOURCE = per_class_temperature.SOURCE
CHANCE = 0.01  # significance of one model's disparity
GAP = 10.0  # points between the best and the worst class that count as a strong difference
POINT = 1.0  # a point of accuracy counts for nothing


def disparity(rows):
    """Claim 1: the classes of one model differ in robust accuracy by more than chance, and by much."""
    text = "Robust accuracy differs strongly between classes"
    found = [
        (row["method"], per_class.divided(row["measures"][per_class.worst(row)])) for row in per_class.models(rows)
    ]
    if not found:
        return Claim(text, SOURCE, "no model with robust accuracy left", "not measured")
    strong, said = [], []
    for method, one in found:
        table = numpy.array([one.right, one.total - one.right])
        p = scipy.stats.chi2_contingency(table[:, table.sum(axis=0) > 0]).pvalue if table.sum(axis=1).all() else 1.0
        strong.append(p < CHANCE and 100 * one.spread > GAP)
        said.append((100 * one.spread, method))
    low, high = min(said), max(said)
    evidence = (
        f"max - min over classes {low[0]:.0f} ({low[1]}) to {high[0]:.0f} points ({high[1]}); more than {GAP:.0f} and "
        f"beyond chance (chi-squared, p < {CHANCE}) in {sum(strong)} of {len(strong)} models"
    )
    return Claim(text, SOURCE, evidence, _majority(strong))


def consistency(rows):
    """Claim 2: the order of the classes is the same for all attacks, one of each kind, and all defences."""
    text = "The order of the classes is the same over attacks and defences"
    models = per_class.models(rows)
    pairs = {"attacks": [], "defences": []}
    for row in models:
        names = [name for name in (per_class.measure_of(row, attack) for attack in FAMILIES) if name]
        pairs["attacks"] += [(row["measures"][a], row["measures"][b]) for a, b in itertools.combinations(names, 2)]
    for one, other in itertools.combinations(models, 2):
        pairs["defences"].append(tuple(row["measures"][per_class.worst(row)] for row in (one, other)))
    said, ends, means = [], [], []
    for name, found in pairs.items():
        if found:
            values = [per_class.spearman(*(per_class.divided(one).share for one in pair)) for pair in found]
            means.append(float(numpy.mean(values)))
            low, high = _fisher(means[-1], len(rows[0]["classes"]))
            shown = f"{means[-1]:.2f} [{low:.2f}, {high:.2f}], at least {min(values):.2f}"
            said.append(f"between {name} {shown}, over {len(found)} pairs")
            ends.append((low, high))
    if len(ends) < 2:
        return Claim(text, SOURCE, "; ".join(said) or "fewer than two models", "not measured")
    verdict = "undecided"
    if min(low for low, _ in ends) > 0 and min(means) > 0.5:
        verdict = "holds"
    elif min(high for _, high in ends) < 0.5:
        verdict = "does not hold"
    return Claim(text, SOURCE, f"mean rank correlation (Spearman) of class accuracies {'; '.join(said)}", verdict)


def _fisher(correlation, count):
    """The 95 % interval of a rank correlation over `count` classes by Fisher's z, as of pairs that all share them."""
    if count <= 3:
        return -1.0, 1.0
    middle, reach = numpy.arctanh(numpy.clip(correlation, -0.9999, 0.9999)), 1.96 * 1.03 / numpy.sqrt(count - 3)
    return float(numpy.tanh(middle - reach)), float(numpy.tanh(middle + reach))


FAMILIES = ("fgsm", "pgd-20", "cw-linf-20", "apgd-ce")  # one attack of each kind: t-pgd-1 is pgd-20 again
STRONGER = (("fgsm", "pgd-20"), ("pgd-20", "apgd-ce"), ("pgd-20", "worst"))


def stronger(rows):
    """Claim 3: what a stronger attack fools beyond a weaker one lies mainly in the classes that were vulnerable."""
    text = "Stronger attacks gain mainly on the vulnerable classes"
    said, ends = [], []
    for weak, strong in STRONGER:
        gained, lower = numpy.zeros(2), []
        for row in per_class.models(rows):
            names = [per_class.measure_of(row, name) for name in (weak, strong)]
            if None in names:
                continue
            before, after = (per_class.divided(row["measures"][name]) for name in names)
            gains = numpy.maximum(before.right - after.right, 0)
            half = numpy.argsort(before.share, kind="stable")[: len(gains) // 2]
            gained += gains[half].sum(), gains.sum()
            lower.append(row["method"])
        if gained[1] >= 10:
            share = gained[0] / gained[1]
            low, high = _wilson(gained[0], gained[1])
            said.append(f"{weak} to {strong}: {100 * share:.0f} % [{100 * low:.0f}, {100 * high:.0f}]")
            ends.append((low, high))
    if not said:
        return Claim(text, SOURCE, "no stronger attack fooled ten more images", "not measured")
    verdict = (
        "holds"
        if all(low > 0.5 for low, _ in ends)
        else "does not hold"
        if all(high < 0.5 for _, high in ends)
        else "undecided"
    )
    evidence = (
        f"share of the images fooled in addition that are of the more vulnerable half of classes: {'; '.join(said)}"
    )
    return Claim(text, SOURCE, evidence, verdict)


def weight_norms(rows):
    """Claim 4: a class whose weight vector in the last layer is longer is more robust."""
    text = "A class's robustness goes with the norm of its classifier weights"
    found = []
    for row in per_class.models(rows):
        norms = numpy.mean(row["weight_norms"], axis=0)
        share = per_class.divided(row["measures"][per_class.worst(row)]).share
        found.append((per_class.spearman(norms, share), row["method"]))
    if not found:
        return Claim(text, SOURCE, "no model with robust accuracy left", "not measured")
    values = numpy.array([value for value, _ in found])
    classes = len(rows[0]["classes"])
    needed = _critical(classes)
    beyond = int((values > needed).sum())
    evidence = (
        f"rank correlation (Spearman) over {classes} classes, median of {len(found)} models {numpy.median(values):.2f} "
        f"({values.min():.2f} to {values.max():.2f}); above {needed:.2f}, beyond chance, in {beyond}"
    )
    verdict = "undecided"
    if beyond > len(found) / 2:
        verdict = "holds"
    elif numpy.median(values) <= 0 or (len(found) >= 3 and beyond == 0):
        verdict = "does not hold"
    return Claim(text, SOURCE, evidence, verdict)


def _critical(classes):
    """The rank correlation of so many classes that chance exceeds once in twenty, by the t approximation."""
    t = scipy.stats.t.ppf(0.95, max(classes - 2, 1))
    return float(t / numpy.sqrt(max(classes - 2, 1) + t**2))


def similar(rows):
    """Claim 5: most images can be attacked into a few similar classes only, and without the class that a class is
    confused with most it is more robust, more than without another one."""
    text = "Most images can be attacked only into similar classes"
    reached = [row["reached"] for row in per_class.models(rows) if row.get("reached")]
    total = sum(one["judged"] for one in reached)
    if not total:
        return Claim(text, SOURCE, "no model was attacked into every class", "not measured")
    shares = [sum(one[name] for one in reached) / total for name in ("similar", "anywhere")]
    once = max(one["judged"] for one in reached)  # the models are attacked on the same images
    (low, high), (_, elsewhere) = (_wilson(round(share * once), once) for share in shares)
    sizes = numpy.sum([one["sizes"] for one in reached], axis=0)
    mean = float((sizes * numpy.arange(len(sizes))).sum() / max(1, sizes.sum()))
    said = [
        f"of {total} attackable images ({len(reached)} models, at most {once} images each), {100 * shares[0]:.0f} % "
        f"[{100 * low:.0f}, {100 * high:.0f}] reach only the two classes that other images of their class reach most "
        f"({100 * shares[1]:.0f} % the two that images of all others do), {mean:.1f} classes on average"
    ]
    verdict = "undecided"
    if low > max(0.5, elsewhere):
        verdict = "holds"
    elif high < 0.5:
        verdict = "does not hold"
    gains = [one for one in (_gain(row, rows) for row in rows if row["role"] == "retrained") if one]
    said += [sentence for sentence, _, _ in gains]
    most, control = ([gain for _, kind, gain in gains if kind == which] for which in ("most", "least"))
    if verdict == "holds" and most and control and numpy.mean(most) <= numpy.mean(control) + POINT:
        verdict = "undecided"
    return Claim(text, SOURCE, "; ".join(said), verdict)


def _gain(row, rows):
    """(a sentence, "most" or "least", points gained) of a model retrained without a class, about the class watched."""
    told = row["retrained"]
    before = next((one for one in rows if one["method"] == told["method"]), None)
    if before is None or not _comparable(row, before):
        return None
    shares = [
        100 * per_class.divided(one["measures"][per_class.worst(one)]).share[one["classes"].index(told["watched"])]
        for one in (before, row)
    ]
    kind = "attacked into most" if told["why"] == "most" else "attacked into least, a control"
    sentence = (
        f"{told['method']} retrained without {told['without']} ({kind}): class {told['watched']} from {shares[0]:.0f} "
        f"to {shares[1]:.0f} %"
    )
    return sentence, told["why"], shares[1] - shares[0]


def _comparable(one, other):
    """Whether two rows were attacked alike."""
    return (
        one["attacks"] == other["attacks"] and one["hyperparameters"]["epsilon"] == other["hyperparameters"]["epsilon"]
    )


def levers(rows):
    """Claim 7: what is changed in training or inference lifts the worst class. The levers are ours [D]."""
    text = "Changes in training and inference lift the worst class (levers of our own)"
    by_name = {row["method"]: row for row in rows}
    pulled = [row for row in rows if row["role"] == "lever" and row["lever"]["of"] in by_name]
    pulled = [row for row in pulled if _comparable(row, by_name[row["lever"]["of"]])]
    if not pulled:
        return Claim(text, SOURCE, "no lever was pulled, or none attacked as its model was", "not measured")
    wider = scipy.stats.norm.ppf(1 - 0.025 / len(pulled)) / 1.96  # Bonferroni's, over the levers
    said, ends = [], []
    for row in pulled:
        before = by_name[row["lever"]["of"]]
        one, other = (per_class.divided(each["measures"][per_class.worst(each)]) for each in (row, before))
        gain, mean = (
            round(100 * each, 1) + 0.0 for each in (one.share.min() - other.share.min(), one.mean - other.mean)
        )
        reach = wider * 50 * numpy.hypot(*(numpy.ptp(each.interval[:, each.worst]) for each in (one, other)))
        said.append(f"{row['method']}: worst class {gain:+.1f} (+- {reach:.1f}), mean {mean:+.1f}")
        ends.append((gain - reach, gain + reach))
    verdict = "undecided"
    if any(low > 0 for low, _ in ends):
        verdict = "holds"
    elif all(high < POINT for _, high in ends):
        verdict = "does not hold"
    return Claim(text, SOURCE, f"{'; '.join(said)}; intervals widened for {len(pulled)} levers", verdict)


CLAIMS = {
    "disparity": disparity,
    "consistency": consistency,
    "stronger": stronger,
    "weight_norms": weight_norms,
    "similar": similar,
    "temperature": per_class_temperature.temperature,
    "levers": levers,
}


def claims_table(rows):
    """A Table of the seven claims for the rows (pooled over seeds) of one data set and model."""
    dataset, model = rows[0]["dataset"], rows[0]["model"]
    name = f"{per_class.name_of(dataset, model)}-claims"
    found = [claim(rows) for claim in CLAIMS.values()]
    return claims.table(name, f"{dataset}, {model}: the claims on robustness by class", found)


def _majority(flags):
    """Holds where it does of more than half, and more than nearly none."""
    share = float(numpy.mean(flags))
    return "holds" if share > 0.5 else "does not hold" if share < 0.25 else "undecided"


def _wilson(count, total):
    found = statistics.wilson(int(count), int(total))
    return found.low, found.high
