"""DARE's claims, each with what the rows of one data set and model say of it, and two that the papers do not test.

A difference of two methods has an interval over images: of the pairs, where the row holds it
(studies/dare/differences.py), else as if the two were tested on different images, which is wider than need be. A mean
over attacks has the mean of their intervals, since all attack the same images. It is of the source models that were
trained, and says nothing of others. Rows whose checks of answers were raised are left out, under white-box attack those
with any check raised.
"""

import numpy
import scipy.stats

from reporting import claims, marks, order, statistics
from reporting.cell import cell_name
from reporting.claims import Claim, Effect

SOURCE = "TOSEM 33(3), 2024, doi:10.1145/3630011"
OURS = "ours: no paper tests it"
PUBLISHED = ("fgsm", "pgd", "jsma", "cw")  # the attacks of the papers' tables
MARGIN = 1.0  # points of clean accuracy that count for nothing
ENDS = ("value", "low", "high")
CONTROLS = ("weight-noise", "logit-noise", "tune-clean", "checkpoint", "swa", "other-seed")


def dare_claims(rows):
    """The table (reporting.claims.Judged) of the claims for the rows (pooled over seeds) of one data set and model."""
    sound, left_out = marks.sound(rows, marks.ANSWERS)
    methods = {row["method"]: row for row in sound}
    dataset, model = rows[0]["dataset"], rows[0]["model"]
    judged = [claim(methods) for claim in (clean, baselines, unseen, slicing, transformation, controls)]
    judged.append(white_box({row["method"]: row for row in marks.sound(rows)[0]}))
    name = f"{rows[0]['study']}-{cell_name(dataset, model)}-claims"
    return claims.table(name, f"{dataset}, {model}", "the claims on DARE", judged, left_out)


def clean(methods):
    """Claim 1: accuracy on clean images falls by less than MARGIN."""
    pairs = [("dare", "original", ["clean"])]
    return _judged("DARE costs no clean accuracy (less than a point)", SOURCE, "clean", methods, pairs, needed=-MARGIN)


def baselines(methods):
    """Claim 2: ER exceeds that of a model fine-tuned on adversarials of any one attack, in the mean over attacks."""
    text = "DARE's ER is higher than that of fine-tuning on any attack's adversarials"
    attacks = _attacks(methods, PUBLISHED)
    pairs = [("dare", name, attacks) for name in methods if name.startswith("adv-")]
    return _judged(text, SOURCE, f"mean ER on {_listed(attacks)}", methods, pairs)


def unseen(methods):
    """Claim 3: so it does on attacks that neither the method nor the choice of its learning rate met."""
    text = "DARE's ER on attacks never met is higher than that of fine-tuning (universal robustness)"
    pairs = []
    for name in (name for name in methods if name.startswith("adv-")):
        met = {name.removeprefix("adv-"), *methods.get("dare", {}).get("chosen_on", [])}
        attacks = [attack for attack in _attacks(methods) if attack.removeprefix("er/") not in met]
        pairs += [("dare", name, attacks)] if attacks else []
    return _judged(text, SOURCE, "mean ER on attacks that neither met", methods, pairs)


def slicing(methods):
    """Claim 4: DARE's ER exceeds that of DARE without slicing."""
    attacks = _attacks(methods, PUBLISHED)
    pairs = [("dare", "dare-s", attacks)]
    return _judged("Slicing raises ER", SOURCE, f"mean ER on {_listed(attacks)}", methods, pairs)


def transformation(methods):
    """Claim 5: DARE without slicing exceeds DARE with neither slicing nor transformation."""
    attacks = _attacks(methods, PUBLISHED)
    pairs = [("dare-s", "dare-sl", attacks)]
    return _judged("The transformation raises ER", SOURCE, f"mean ER on {_listed(attacks)}", methods, pairs)


def controls(methods):
    """Claim 6: DARE's ER exceeds that of every simple control."""
    text = "DARE's ER is higher than that of controls that defend nothing"
    attacks = _attacks(methods)
    pairs = [("dare", name, attacks) for name in CONTROLS if name in methods]
    return _judged(text, OURS, f"mean ER on {_listed(attacks)}", methods, pairs)


def white_box(methods):
    """Claim 7: attacked anew, at the smallest epsilon, DARE's model keeps more images correct than the original."""
    text = "DARE's model withstands an attack on itself better than the original"
    balls = [ball for ball in order.attacks(list(methods.values()), "white-box") if ball.startswith("worst@")]
    if not balls:
        return Claim(text, OURS, "no worst case with a margin-based attack was measured", "not measured")
    pairs = [("dare", "original", [f"white-box/{balls[0]}"])]
    return _judged(text, OURS, f"white box, {balls[0]}", methods, pairs)


def _attacks(methods, among=None):
    """The measures "er/<attack>" that any row has, in the order of the catalogue. among: names to choose from."""
    named = order.attacks(list(methods.values()))
    return [f"er/{attack}" for attack in named if among is None or attack in among]


def _listed(measures):
    return ", ".join(measure.removeprefix("er/") for measure in measures)


def _judged(text, source, what, methods, pairs, needed=0.0):
    """The Claim that in each pair (method, other, measures) the first exceeds the second by `needed` points."""
    found = [(one, other, _shared(methods, one, other, measures)) for one, other, measures in pairs]
    found = [pair for pair in found if pair[2]]
    level = claims.confidence(len(found))
    effects = [
        Effect(
            what=f"{one} minus {other}",
            interval=difference(methods[one], methods[other], measures, confidence=level),
            needed=needed,
            confidence=level,
        )
        for one, other, measures in found
    ]
    evidence = f"{what}: {'; '.join(map(str, effects))}" if effects else "not all methods that it compares were tested"
    return claims.judged(text, source, evidence, effects)


def _shared(methods, one, other, measures):
    """Those of the measures that both methods have."""
    if one not in methods or other not in methods:
        return []
    return [name for name in measures if all(name in methods[method]["measures"] for method in (one, other))]


def difference(row, other, measures, *, confidence=0.95):
    """By how many points a row exceeds another in the mean of measures, as statistics.Interval."""
    paired = row.get("differences", {}).get(other["method"], {})
    gaps = [
        _paired(paired[name], confidence) if name in paired else _unpaired(row, other, name, confidence)
        for name in measures
    ]
    return statistics.Interval(*(float(numpy.mean([getattr(gap, end) for gap in gaps])) for end in ENDS))


def _paired(found, confidence):
    """A row's difference, in points, with its interval of 95 % widened to another level as a normal one's."""
    low, high = found["interval"]
    wider = scipy.stats.norm.ppf((1 + confidence) / 2) / scipy.stats.norm.ppf(0.975)
    value = found["value"]
    return statistics.Interval(value, value - wider * (value - low), value + wider * (high - value))


def _unpaired(row, other, name, confidence):
    gap = statistics.newcombe(*(_wilson(each["measures"][name], confidence) for each in (row, other)))
    return statistics.Interval(*(100 * getattr(gap, end) for end in ENDS))


def _wilson(measure, confidence):
    """Wilson's interval of a measure in percent, of its n images, around its own value (the mean of its repeats)."""
    share = measure["value"] / 100
    found = statistics.wilson(round(share * measure["n"]), measure["n"], confidence=confidence)
    return statistics.Interval(share, min(found.low, share), max(found.high, share))
