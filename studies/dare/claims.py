"""The verdicts on DARE's claims for one data set and model, and on two claims that the papers do not test.

A difference of two methods has an interval over images. It is paired if the row contains the paired difference
(studies/dare/differences.py). Otherwise it is computed as if the two were tested on different images, which is too
wide. A mean over attacks has the mean of their intervals, because all attack the same images. The intervals do not
cover other source models. Rows with a raised check of ANSWERS are left out; for white-box attacks, rows with any
raised check.
"""

from collections.abc import Mapping, Sequence

import numpy

from reporting import claims, marks, order, statistics
from reporting.cell import cell_name
from reporting.claims import Claim, Effect
from reporting.measures import difference_interval

SOURCE = "TOSEM 33(3), 2024, doi:10.1145/3630011"
OURS = "ours: no paper tests it"
PUBLISHED = ("fgsm", "pgd", "jsma", "cw")  # the attacks of the papers' tables
MARGIN = 1.0  # a smaller loss of clean accuracy, in points, is ignored
ENDS = ("value", "low", "high")
CONTROLS = ("weight-noise", "logit-noise", "tune-clean", "checkpoint", "swa", "other-seed")


def dare_claims(rows: Sequence[Mapping]) -> claims.Judged:
    """The table of the claims for the rows (pooled over seeds) of one data set and model."""
    sound, left_out = marks.sound(rows, marks.ANSWERS)
    methods = {row["method"]: row for row in sound}
    dataset, model = rows[0]["dataset"], rows[0]["model"]
    judged = [claim(methods) for claim in (clean, baselines, unseen, slicing, transformation, controls)]
    judged.append(white_box({row["method"]: row for row in marks.sound(rows)[0]}))
    name = f"{rows[0]['study']}-{cell_name(dataset, model)}-claims"
    return claims.table(name, f"{dataset}, {model}", "the claims on DARE", judged, left_out)


def clean(methods: dict) -> Claim:
    """Claim 1: accuracy on clean images falls by less than MARGIN."""
    pairs = [("dare", "original", ["clean"])]
    return _judged("DARE costs no clean accuracy (less than a point)", SOURCE, "clean", methods, pairs, needed=-MARGIN)


def baselines(methods: dict) -> Claim:
    """Claim 2: mean ER over attacks exceeds that of models fine-tuned on any single attack's adversarials."""
    text = "DARE's ER is higher than that of fine-tuning on any attack's adversarials"
    attacks = _attacks(methods, PUBLISHED)
    pairs = [("dare", name, attacks) for name in methods if name.startswith("adv-")]
    return _judged(text, SOURCE, f"mean ER on {_listed(attacks)}", methods, pairs)


def unseen(methods: dict) -> Claim:
    """Claim 3: the same on attacks used neither in training nor in the choice of the learning rate."""
    text = "DARE's ER on unseen attacks is higher than that of fine-tuning (universal robustness)"
    pairs = []
    for name in (name for name in methods if name.startswith("adv-")):
        met = {name.removeprefix("adv-"), *methods.get("dare", {}).get("chosen_on", [])}
        attacks = [attack for attack in _attacks(methods) if attack.removeprefix("er/") not in met]
        pairs += [("dare", name, attacks)] if attacks else []
    return _judged(text, SOURCE, "mean ER on attacks unseen by both", methods, pairs)


def slicing(methods: dict) -> Claim:
    """Claim 4: DARE's ER exceeds that of DARE without slicing, which as published is tuned longer as well."""
    attacks = _attacks(methods, PUBLISHED)
    pairs = [("dare", "dare-s", attacks)]
    text = "DARE's ER is higher than that of its variant without slicing, tuned longer"
    return _judged(text, SOURCE, f"mean ER on {_listed(attacks)}", methods, pairs)


def transformation(methods: dict) -> Claim:
    """Claim 5: DARE without slicing exceeds DARE with neither slicing nor transformation."""
    attacks = _attacks(methods, PUBLISHED)
    pairs = [("dare-s", "dare-sl", attacks)]
    return _judged("The transformation raises ER", SOURCE, f"mean ER on {_listed(attacks)}", methods, pairs)


def controls(methods: dict) -> Claim:
    """Claim 6: DARE's ER exceeds that of every simple control."""
    text = "DARE's ER is higher than that of every simple control"
    attacks = _attacks(methods)
    pairs = [("dare", name, attacks) for name in CONTROLS if name in methods]
    return _judged(text, OURS, f"mean ER on {_listed(attacks)}", methods, pairs)


def white_box(methods: dict) -> Claim:
    """Claim 7: under white-box attack at the smallest epsilon, DARE keeps more images correct than the original."""
    text = "DARE is more robust to white-box attack than the original"
    balls = [ball for ball in order.attacks(list(methods.values()), "white-box") if ball.startswith("worst@")]
    if not balls:
        return Claim(text, OURS, "no worst case was measured", "not measured")
    pairs = [("dare", "original", [f"white-box/{balls[0]}"])]
    return _judged(text, OURS, f"white box, {balls[0]}", methods, pairs)


def _attacks(methods, among=None):
    """The measures "er/<attack>" that any row has, in the order of the catalogue. among: names to choose from."""
    names = order.attacks(list(methods.values()))
    return [f"er/{attack}" for attack in names if among is None or attack in among]


def _listed(measures):
    return ", ".join(measure.removeprefix("er/") for measure in measures)


def _judged(text, source, what, methods, pairs, needed=0.0):
    """The Claim that in each pair (method, other, measures) the first exceeds the second by `needed` points."""
    compared = [(first, second, _shared(methods, first, second, measures)) for first, second, measures in pairs]
    compared = [pair for pair in compared if pair[2]]
    level = claims.confidence(len(compared))
    effects = [
        Effect(
            what=f"{first} minus {second}",
            interval=difference(methods[first], methods[second], measures, confidence=level),
            needed=needed,
            confidence=level,
        )
        for first, second, measures in compared
    ]
    evidence = f"{what}: {'; '.join(map(str, effects))}" if effects else "not all of the compared methods were tested"
    return claims.judged(text, source, evidence, effects)


def _shared(methods, first, second, measures):
    """The measures that both methods have."""
    if first not in methods or second not in methods:
        return []
    return [name for name in measures if all(name in methods[method]["measures"] for method in (first, second))]


def difference(
    row: Mapping, reference: Mapping, measures: list[str], *, confidence: float = 0.95
) -> statistics.Interval:
    """The mean over measures of a row's value minus that of another row, in points."""
    paired = row.get("differences", {}).get(reference["method"], {})
    gaps = [
        _paired(paired[name], confidence) if name in paired else _unpaired(row, reference, name, confidence)
        for name in measures
    ]
    return statistics.Interval(*(float(numpy.mean([getattr(gap, end) for gap in gaps])) for end in ENDS))


def _paired(measured, confidence):
    """A row's paired difference, in points. Its 95 % interval is widened to the level as that of a normal variable."""
    return statistics.widened(difference_interval(measured), confidence)


def _unpaired(row, reference, name, confidence):
    gap = statistics.newcombe(*(_wilson(each["measures"][name], confidence) for each in (row, reference)))
    return statistics.Interval(*(100 * getattr(gap, end) for end in ENDS))


def _wilson(measure, confidence):
    """Wilson's interval of a measure in percent with n images, around its own value (the mean of its repeats)."""
    share = measure["value"] / 100
    interval = statistics.wilson(round(share * measure["n"]), measure["n"], confidence=confidence)
    return statistics.Interval(share, min(interval.low, share), max(interval.high, share))
