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
    falls = [[10.0, 5.0, 15.0], [1.0, 2.0, 3.0], [1.0, 2.0, 2.0]]
    deviation = numpy.sqrt(sum(numpy.var(each) * 3 for each in falls) / 6)
    half = scipy.stats.t.ppf(0.975, 6) * deviation / numpy.sqrt(3)
    assert f"rice's fall +10.0 points [{10 - half:.1f}, {10 + half:.1f}]" in lines[FALLS][2]
    assert "6 degrees of freedom" in lines[FALLS][2]
    kept = numpy.subtract(falls[0], falls[1]), numpy.subtract(falls[0], falls[2])
    deviation = numpy.sqrt(sum(numpy.var(each) * 3 for each in kept) / 4)
    half = scipy.stats.t.ppf(0.975, 4) * deviation / numpy.sqrt(3)
    assert f"rice's fall minus history-at's fall +8.0 points [{8 - half:.1f}, {8 + half:.1f}]" in lines[KEEPS][2]
    verdicts = {claim: line[3] for claim, line in lines.items()}
    assert verdicts[FALLS] == verdicts[KEEPS] == verdicts[MINED] == "holds"
    assert verdicts[AWP] == "undecided"
    assert verdicts[BEATS] == "not measured"


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


def test_rows_with_raised_checks_are_left_out(seeds):
    raised = [{"name": "gradient", "passed": False, "seen": "zeros", "expected": "more", "value": None}]
    rows = [dataclasses.replace(seeds("rice", (40.0, 20.0), (40.0, 20.0)), checks=raised), seeds("awp", (40.0, 39.0))]
    lines = by_claim(rows)
    assert lines[FALLS][3] == lines[AWP][3] == "not measured"
