"""Two claims of the class-wise study on changed models: retrained without a class, or changed by a lever."""

import math
from collections.abc import Mapping, Sequence

import numpy

from reporting import claims, statistics
from reporting.claims import Claim, Effect
from reporting.statistics import Interval
from reporting.tables import signed
from studies.classwise import rows as class_rows

SOURCE = "Tian, Kuang, Jiang, Wu, Wang, KDD 2021"
POINT = 1.0  # smaller differences in accuracy, in points, are ignored
MOST = 0.5  # fraction of the images


def similar(rows: Sequence[Mapping]) -> Claim:
    """Claim 5: most images can be attacked only into a few similar classes, rather than into any two classes.

    The evidence includes models retrained without the class that another class is attacked into most, or least (the
    control). They are trained once and have no interval over trainings, so they neither support nor exclude the claim.
    If the control gains as much, the claim stays undecided.
    """
    text = "Most images can be attacked only into similar classes"
    reached = [row["reached"] for row in class_rows.sound(rows) if row.get("reached")]
    total = sum(counts["judged"] for counts in reached)
    if not total:
        return Claim(text, SOURCE, "no model was attacked into every class", "not measured")
    level = claims.confidence(2)
    once = max(counts["judged"] for counts in reached)  # the models are attacked on the same images
    shares = [sum(counts[name] for counts in reached) / total for name in ("similar", "anywhere")]
    wilson = [statistics.wilson(round(share * once), once, confidence=level) for share in shares]
    own, control_share = (Interval(share, ends.low, ends.high) for share, ends in zip(shares, wilson, strict=True))
    gap = statistics.newcombe(own, control_share)
    gap = Interval(*(100 * end for end in (gap.value, gap.low, gap.high)))
    effects = [
        Effect(what="fraction", interval=own, needed=MOST, scale="share", unit="%", confidence=level),
        Effect(what="minus the control", interval=gap, confidence=level),
    ]
    sizes = numpy.sum([counts["sizes"] for counts in reached], axis=0)
    mean = float((sizes * numpy.arange(len(sizes))).sum() / max(1, sizes.sum()))
    gains = [gain for gain in (_gain(row, rows) for row in rows if row["role"] == "retrained") if gain]
    evidence = (
        f"{total} attackable images ({len(reached)} models, at most {once} images each). Images that reach only the "
        f"two classes most often reached from their own class: {effects[0]}, {effects[1]} (the two classes most often "
        f"reached from all other classes); an image reaches {mean:.1f} classes on average"
    )
    evidence = "; ".join([evidence, *(sentence for sentence, _, _ in gains)])
    most, control = ([gain for _, kind, gain in gains if kind == which] for which in ("most", "least"))
    as_much = most and control and numpy.mean(most) <= numpy.mean(control) + POINT
    reservation = (
        "the control gained as much: a class retrained without a class that it rarely reaches" if as_much else ""
    )
    return claims.judged(text, SOURCE, evidence, effects, reservation=reservation)


def _gain(row, rows):
    """(a sentence, "most" or "least", points gained by the watched class) of a retrained model."""
    change = row["retrained"]
    before = next((model_row for model_row in rows if model_row["method"] == change["method"]), None)
    if before is None or not _comparable(row, before):
        return None
    shares = [
        100
        * class_rows.divided(each["measures"][class_rows.worst(each)]).share[each["classes"].index(change["watched"])]
        for each in (before, row)
    ]
    kind = "most often reached" if change["why"] == "most" else "least often reached, a control"
    sentence = (
        f"{change['method']} retrained without {change['without']} ({kind}): class {change['watched']} changes from "
        f"{shares[0]:.0f} to {shares[1]:.0f} %"
    )
    return sentence, change["why"], shares[1] - shares[0]


def _comparable(first, second):
    """True if two rows have the same attacks and epsilon."""
    return (
        first["attacks"] == second["attacks"]
        and first["hyperparameters"]["epsilon"] == second["hyperparameters"]["epsilon"]
    )


def levers(rows: Sequence[Mapping]) -> Claim:
    """Claim 7: changes in training or inference lift the worst class. The levers are ours [D].

    The worst class has the smallest of several accuracies, so its interval is simultaneous for all classes
    (Bonferroni). A lever that retrains once has no interval over trainings and neither supports nor excludes the claim.
    """
    text = "Changes in training and inference lift the worst class (levers of our own)"
    by_name = {row["method"]: row for row in class_rows.sound(rows, whole=False)}
    applied = [row for row in by_name.values() if row["role"] == "lever" and row["lever"]["of"] in by_name]
    applied = [row for row in applied if _comparable(row, by_name[row["lever"]["of"]])]
    if not applied:
        return Claim(text, SOURCE, "no lever was applied, or none was attacked as its model was", "not measured")
    level, effects, phrases = claims.confidence(len(applied)), [], []
    for row in applied:
        own, before = (
            class_rows.divided(each["measures"][class_rows.worst(each)]) for each in (row, by_name[row["lever"]["of"]])
        )
        gap = statistics.newcombe(_worst_class(own, level), _worst_class(before, level))
        trained = "factors" in row["hyperparameters"]
        ends = (-math.inf, math.inf) if trained else (100 * gap.low, 100 * gap.high)
        effect = Effect(what=row["method"], interval=Interval(100 * gap.value, *ends), needed=POINT, confidence=level)
        effects.append(effect)
        phrases.append(f"{effect}, mean {signed(100 * (own.mean - before.mean), 1)}")
    once = "; no interval: a single retraining" if "(no interval)" in "".join(phrases) else ""
    evidence = f"worst class: {'; '.join(phrases)}{once}"
    return claims.judged(text, SOURCE, evidence, effects, every=False)


def _worst_class(divided, level):
    """The Interval of the smallest class accuracy, simultaneous for all classes."""
    level = 1 - (1 - level) / len(divided.total)
    intervals = [
        statistics.wilson(*counts, confidence=level) for counts in zip(divided.correct, divided.total, strict=True)
    ]
    return Interval(*(min(getattr(interval, part) for interval in intervals) for part in ("value", "low", "high")))
