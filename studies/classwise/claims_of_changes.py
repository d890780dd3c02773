"""Two claims of the class-wise study on models that were changed: retrained without a class, or by a lever."""

import math

import numpy

from reporting import claims, statistics
from reporting.claims import Claim, Effect
from reporting.statistics import Interval
from reporting.tables import signed
from studies.classwise import rows as class_rows

SOURCE = "Tian, Kuang, Jiang, Wu, Wang, KDD 2021"
POINT = 1.0  # a point of accuracy counts for nothing
MOST = 0.5  # share of the images


def similar(rows):
    """Claim 5: most images can be attacked into a few similar classes only, and into these rather than into any two.

    Beside it, models retrained without the class that a class is attacked into most, or least: a single training of
    each has no interval over trainings, so they support nothing and exclude nothing; but where the control gained as
    much, the claim stays open.
    """
    text = "Most images can be attacked only into similar classes"
    reached = [row["reached"] for row in class_rows.sound(rows) if row.get("reached")]
    total = sum(one["judged"] for one in reached)
    if not total:
        return Claim(text, SOURCE, "no model was attacked into every class", "not measured")
    level = claims.confidence(2)
    once = max(one["judged"] for one in reached)  # the models are attacked on the same images
    shares = [sum(one[name] for one in reached) / total for name in ("similar", "anywhere")]
    wilson = [statistics.wilson(round(share * once), once, confidence=level) for share in shares]
    own, other = (Interval(share, one.low, one.high) for share, one in zip(shares, wilson, strict=True))
    gap = statistics.newcombe(own, other)
    gap = Interval(*(100 * end for end in (gap.value, gap.low, gap.high)))
    effects = [
        Effect(what="images that do", interval=own, needed=MOST, scale="share", unit="%", confidence=level),
        Effect(what="more than into any two classes", interval=gap, confidence=level),
    ]
    sizes = numpy.sum([one["sizes"] for one in reached], axis=0)
    mean = float((sizes * numpy.arange(len(sizes))).sum() / max(1, sizes.sum()))
    gains = [one for one in (_gain(row, rows) for row in rows if row["role"] == "retrained") if one]
    evidence = (
        f"of {total} attackable images ({len(reached)} models, at most {once} images each) that reach only the two "
        f"classes that other images of their class reach most: {effects[0]}, {effects[1]} (the two that images of all "
        f"others reach most), {mean:.1f} classes on average"
    )
    evidence = "; ".join([evidence, *(sentence for sentence, _, _ in gains)])
    most, control = ([gain for _, kind, gain in gains if kind == which] for which in ("most", "least"))
    as_much = most and control and numpy.mean(most) <= numpy.mean(control) + POINT
    reservation = "without a class that it is attacked into least, a class gained as much" if as_much else ""
    return claims.judged(text, SOURCE, evidence, effects, reservation=reservation)


def _gain(row, rows):
    """(a sentence, "most" or "least", points gained) of a model retrained without a class, about the class watched."""
    told = row["retrained"]
    before = next((one for one in rows if one["method"] == told["method"]), None)
    if before is None or not _comparable(row, before):
        return None
    shares = [
        100 * class_rows.divided(one["measures"][class_rows.worst(one)]).share[one["classes"].index(told["watched"])]
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
    """Claim 7: what is changed in training or inference lifts the worst class. The levers are ours [D].

    The worst class is the smallest of several accuracies, so its interval is over all classes at once (Bonferroni). A
    lever that trains anew, once, has no interval over trainings, and neither supports nor excludes.
    """
    text = "Changes in training and inference lift the worst class (levers of our own)"
    by_name = {row["method"]: row for row in class_rows.sound(rows, whole=False)}
    pulled = [row for row in by_name.values() if row["role"] == "lever" and row["lever"]["of"] in by_name]
    pulled = [row for row in pulled if _comparable(row, by_name[row["lever"]["of"]])]
    if not pulled:
        return Claim(text, SOURCE, "no lever was pulled, or none attacked as its model was", "not measured")
    level, effects, said = claims.confidence(len(pulled)), [], []
    for row in pulled:
        one, other = (
            class_rows.divided(each["measures"][class_rows.worst(each)]) for each in (row, by_name[row["lever"]["of"]])
        )
        gap = statistics.newcombe(_worst_class(one, level), _worst_class(other, level))
        trained = "factors" in row["hyperparameters"]
        ends = (-math.inf, math.inf) if trained else (100 * gap.low, 100 * gap.high)
        effect = Effect(what=row["method"], interval=Interval(100 * gap.value, *ends), needed=POINT, confidence=level)
        effects.append(effect)
        said.append(f"{effect}, mean {signed(100 * (one.mean - other.mean), 1)}")
    once = "; no interval: trained anew, once" if "(no interval)" in "".join(said) else ""
    evidence = f"worst class: {'; '.join(said)}{once}"
    return claims.judged(text, SOURCE, evidence, effects, every=False)


def _worst_class(divided, level):
    """The accuracy of the worst class with the interval of the smallest of all, as Interval."""
    level = 1 - (1 - level) / len(divided.total)
    found = [
        statistics.wilson(*counts, confidence=level) for counts in zip(divided.correct, divided.total, strict=True)
    ]
    return Interval(*(min(getattr(one, part) for one in found) for part in ("value", "low", "high")))
