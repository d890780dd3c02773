"""Verdicts on robust overfitting, judged from rows made by hand."""

import dataclasses

import numpy
import pytest
import scipy.stats

from studies.robust_training import overfitting, report
from studies.robust_training import tables as robust_tables

FALLS, KEEPS = (
    "Robust accuracy falls by 3 points or more after its best epoch",
    "Mined targets lose less after the best epoch",
)
AWP = "Moving the weights up the loss (AWP) raises robust accuracy"
MINED = "Targets mined from the run's own history raise robust accuracy"
CHOICE, NAMES = "It matters which epoch is mined", ("history-at", "history-at-random")
BEATS = "Mined targets beat self-adaptive ones, both with averaged weights"


@pytest.fixture
def seeds(robust_row):
    """``seeds(method, (best, last), ...)``: a pooled row, a pair a seed."""

    def seeds(method, *both):
        rows = []
        for seed, (best, last) in enumerate(both):
            row = robust_row(method, worst=best, seed=seed)
            measure = row.measures["last/white-box/worst@0.1"]
            row.measures["last/white-box/worst@0.1"] = {**measure, "value": last, "values": [last]}
            rows.append(row)
        return robust_tables.pool(rows)

    return seeds


def by_claim(rows):
    return {line[1]: line for line in overfitting.overfitting_claims(rows).rows}


def test_verdicts_and_intervals(seeds):
    rows = [
        seeds("rice", (30.0, 20.0), (33.0, 28.0), (29.0, 14.0)),
        seeds("history-at", (36.0, 35.0), (37.0, 35.0), (35.0, 32.0)),
        seeds("awp", (29.0, 28.0), (34.0, 32.0), (29.0, 27.0)),
    ]
    lines = by_claim(rows)
    falls = numpy.array([[10.0, 5.0, 15.0], [1.0, 2.0, 3.0], [1.0, 2.0, 2.0]])
    own, pooled = numpy.var(falls[0], ddof=1), numpy.var(falls, axis=1, ddof=1).mean()
    assert own > pooled, "methods vary unequally: the larger counts"
    half = scipy.stats.t.ppf(0.975, 6) * numpy.sqrt(own / 3)
    assert f"rice's fall +10.0 points [{10 - half:.1f}, {10 + half:.1f}]" in lines[FALLS][2]
    assert f"over seeds {numpy.sqrt(pooled):.1f}, 6 degrees of freedom" in lines[FALLS][2]
    kept = falls[0] - falls[1:]
    pooled = max(numpy.var(kept[0], ddof=1), numpy.var(kept, axis=1, ddof=1).mean())
    freedom = 4 * 2 / (1 + 1 + 2 / 4)  # both share rice, so they correlate by half
    half = scipy.stats.t.ppf(0.975, freedom) * numpy.sqrt(pooled / 3)
    assert f"rice's fall minus history-at's fall +8.0 points [{8 - half:.1f}, {8 + half:.1f}]" in lines[KEEPS][2]
    assert "3.2 degrees of freedom" in lines[KEEPS][2]
    verdicts = {claim: line[3] for claim, line in lines.items()}
    assert verdicts[MINED] == "holds" and verdicts[FALLS] == "undecided"
    assert verdicts[AWP] == "undecided"
    assert verdicts[BEATS] == "not measured"
    assert lines[AWP][2].endswith(f"; BP-epochs {rows[2]['hyperparameters']['bp_epochs']:.0f} against 40")


def test_what_differs_in_the_best_epoch_alone_is_no_effect_of_mining(seeds):
    """Before mining begins the methods are one; their best epochs may lie there, and differ by chance."""
    both = [(24.0, 17.0), (24.0, 17.5), (24.5, 17.0)], [(18.0, 18.0), (18.5, 18.5), (18.0, 18.0)]
    line = by_claim([seeds("rice", (23.0, 15.0)), *map(lambda name, each: seeds(name, *each), NAMES, both)])[CHOICE]
    assert "history-at minus history-at-random +6.0 points" in line[2]
    assert "history-at minus history-at-random, last epoch -1.0 points" in line[2]
    assert line[3] != "holds"


def test_a_constant_robust_accuracy_is_no_overfitting(seeds):
    assert by_claim([seeds("rice", (30.0, 30.0), (31.0, 31.0))])[FALLS][3] == "does not hold"


def test_one_seed_decides_nothing(seeds):
    lines = by_claim([seeds("rice", (40.0, 20.0)), seeds("history-at", (60.0, 60.0))])
    assert {lines[claim][3] for claim in (FALLS, KEEPS, MINED)} == {"undecided"}


def test_without_plain_training_the_claims_are_those_of_deat(seeds):
    other = report.judged([seeds("pgd-7", (40.0, 39.0))])
    assert not {claim.claim for claim in other.claims} & {FALLS, KEEPS}
    own = report.judged([seeds("rice", (40.0, 39.0))])
    assert {claim.claim for claim in own.claims} >= {FALLS, KEEPS}


def test_rows_trained_otherwise_and_controls_are_left_out(seeds):
    rice = seeds("rice", (30.0, 20.0), (31.0, 21.0))
    longer = seeds("awp", (60.0, 59.0), (61.0, 60.0))
    longer.hyperparameters["images"] = 50_000
    control = dataclasses.replace(seeds("standard", (9.0, 9.0), (9.0, 9.0)), role="control")
    lines = by_claim([rice, longer, control])
    assert lines[AWP][3] == "not measured"
    assert lines[FALLS][2] == by_claim([rice])[FALLS][2]


def test_claims_of_deat_in_the_same_cell_stay(seeds):
    rows = [seeds("rice", (30.0, 20.0), (31.0, 21.0)), *(seeds(name, (40.0, 39.0)) for name in ("free-4", "free-8"))]
    found = {claim.claim: claim.verdict for claim in report.judged(rows).claims}
    assert found[FALLS] != "not measured" and found["Redundant attack iterations hurt robustness late in training"]
    assert sum(note.startswith("Source: ") for note in report.judged(rows).notes) == len(
        {claim.source for claim in report.judged(rows).claims}
    )


def test_rows_with_raised_checks_are_left_out(seeds):
    raised = [{"name": "gradient", "passed": False, "seen": "zeros", "expected": "more", "value": None}]
    rows = [dataclasses.replace(seeds("rice", (40.0, 20.0), (40.0, 20.0)), checks=raised), seeds("awp", (40.0, 39.0))]
    lines = by_claim(rows)
    assert lines[FALLS][3] == lines[AWP][3] == "not measured"


def test_runs_that_are_one_until_they_mine_give_no_freedom_of_their_own(seeds):
    rival = seeds("sat+ema", (30.0, 20.0), (33.0, 28.0), (29.0, 14.0))
    rows = [seeds("rice", (30.0, 20.0), (33.0, 28.0), (29.0, 14.0)), rival]
    variants = [seeds(f"history-at{name}+ema", (36.0, 35.0), (37.0, 35.0), (35.0, 32.0)) for name in ("", "-early")]
    one, two = (by_claim([*rows, *variants[:count]])[BEATS][2] for count in (1, 2))
    assert "2 degrees of freedom" in one and "2 degrees of freedom" in two
    assert by_claim([*rows, *variants])[FALLS][2].count("degrees of freedom") == 1
