"""The verdicts of the repair study for one data set and model.

Differences are paired over the same test images, with a bootstrap interval that covers other images, but not other
source models. A row with a raised check is left out.
"""

import dataclasses
from collections.abc import Mapping, Sequence

from reporting import claims, marks, statistics
from reporting.cell import cell_name
from reporting.claims import Claim, Effect
from reporting.measures import difference_interval
from studies.repair import tables

NEURECOVER = "Tokui et al., SANER 2022"
APRICOT = "Zhang, Chan, ASE 2019"
OURS = "our question"
MARGIN = 1.0  # points of clean accuracy that count as equal


def repair_claims(rows: Sequence[Mapping]) -> claims.Judged:
    """The table of the claims for the rows (pooled over seeds) of one data set and model."""
    sound, left_out = marks.sound(rows)
    methods = {row["method"]: row for row in sound}
    dataset, model = rows[0]["dataset"], rows[0]["model"]
    judged = [
        _against(
            methods, "NeuRecover breaks fewer images than DARE", NEURECOVER, "neurecover", "dare", ["nfr"], turned=True
        ),
        _against(methods, "NeuRecover reaches a higher ER than DARE", OURS, "neurecover", "dare", _er(rows)),
        _against(methods, "The whole history helps NeuRecover", OURS, "neurecover-history", "neurecover", ["clean"]),
        _against(
            methods,
            "Apricot moves towards the models that are correct",
            APRICOT,
            "apricot-history",
            "apricot-history-released",
            ["clean"],
        ),
        beyond_swa(methods, _er(rows)),
        beyond_swa(methods, _er(rows), equal_cost=True),
        white_box(methods),
    ]
    name = f"repair-{cell_name(dataset, model)}-claims"
    said = [*left_out, *_raised_noise(sound)]
    return claims.table(name, f"{dataset}, {model}", "history against repair", judged, said)


def beyond_swa(methods: dict, measures: list[str], equal_cost: bool = False) -> Claim:
    """A method has a higher ER than swa, by every attack's set, at equal clean accuracy.

    equal_cost: and takes no more image passes than swa.
    """
    text = f"Some method beats swa's ER at a clean accuracy at most {MARGIN:g} point lower"
    text += " and at no more image passes" if equal_cost else ""
    closest = {}
    for name, row in _others(methods).items():
        if equal_cost and ("swa" not in methods or tables.passes(row) > tables.passes(methods["swa"])):
            continue
        clean = _effect(row, "swa", "clean")
        if clean is not None and clean.interval.value >= -MARGIN:
            effects = [effect for measure in measures if (effect := _effect(row, "swa", measure)) is not None]
            if effects:
                closest[name] = min(effects, key=lambda effect: effect.interval.low)
    return _any(text, OURS, closest, methods, "the set on which the method is nearest to swa")


def white_box(methods: dict) -> Claim:
    """A method has a higher accuracy under AutoAttack than each of: its own weight noise, weights at random."""
    text = "Some method gains under white-box attack beyond weight noise and weights at random"
    closest = {}
    for name, row in _others(methods).items():
        measure = next((measure for measure in row["measures"] if measure.startswith("white-box/")), None)
        references = ("noise", "random-neurecover", "random-arachne")
        effects = [
            effect for reference in references if measure and (effect := _effect(row, reference, measure)) is not None
        ]
        if effects:
            closest[name] = min(effects, key=lambda effect: effect.interval.low)
    return _any(text, OURS, closest, methods, "the control that the method is nearest to")


def _any(text, source, by_method, methods, nearest):
    """The claim that one of several methods has a positive effect; the interval of each allows for their number."""
    if not by_method:
        return Claim(text, source, "no such row was measured", "not measured")
    level = claims.confidence(len(by_method))
    effects = [_widened(effect, level) for effect in by_method.values()]
    order = sorted(zip(by_method, effects, strict=True), key=lambda pair: -pair[1].interval.low)
    name, best = order[0]
    evidence = (
        f"the highest of {len(effects)} methods, on {nearest}: {best}, with {tables.passes(methods[name]):,.0f} image "
        "passes"
    )
    return claims.judged(text, source, evidence, effects, every=False)


def _against(methods, text, source, first, second, measures, *, turned=False):
    """The claim that a method exceeds another in every one of some measures (turned: falls below)."""
    if first not in methods:
        return Claim(text, source, f"{first} was not measured", "not measured")
    effects = [
        effect for measure in measures if (effect := _effect(methods[first], second, measure, turned)) is not None
    ]
    if not effects:
        return Claim(text, source, f"{second} was not measured beside {first}", "not measured")
    level = claims.confidence(len(effects))
    effects = [_widened(effect, level) for effect in effects]
    return claims.judged(text, source, "; ".join(map(str, effects)), effects)


def _effect(row, reference, measure, turned=False):
    """The Effect of a row's paired difference; None where it was not measured."""
    measured = row.get("differences", {}).get(reference, {}).get(measure)
    if measured is None:
        return None
    interval, pair = difference_interval(measured), (row["method"], reference)
    if turned:
        interval, pair = statistics.Interval(-interval.value, -interval.high, -interval.low), pair[::-1]
    return Effect(what=f"{measure}: {pair[0]} minus {pair[1]}", interval=interval)


def _widened(effect, level):
    """The effect with its interval at another level than 95 %."""
    return dataclasses.replace(effect, interval=statistics.widened(effect.interval, level), confidence=level)


def _others(methods):
    """The methods that a claim of any kind may rest on: no control, and one model."""
    return {
        name: row for name, row in methods.items() if row["role"] not in ("original", "control") and name != "ensemble"
    }


def _raised_noise(rows):
    """The note on rows whose weight noise has a raised check: a list with one sentence, or an empty list."""
    names = {row["method"]: marks.raised({"checks": row.get("noise_checks")}) for row in rows}
    listed = [f"{method} ({', '.join(raised)})" for method, raised in names.items() if raised]
    if not listed:
        return []
    return [
        f"Checks raised of the weight noise beside {'; '.join(listed)}: its robustness may be overestimated, and the "
        "difference from it too small."
    ]


def _er(rows):
    return list(dict.fromkeys(name for row in rows for name in row["measures"] if name.startswith("er/")))
