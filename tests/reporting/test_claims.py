"""The rule by which effects decide a claim, and what an undecided one says."""

import dataclasses
import math

import pytest

from reporting import claims, statistics, tables
from reporting.claims import Effect
from reporting.statistics import Interval

ABOVE, BELOW, ACROSS = Interval(3.0, 1.0, 5.0), Interval(-3.0, -5.0, -1.0), Interval(0.5, -1.5, 2.5)
NONE = Interval(9.0, -math.inf, math.inf)


def judged(*intervals, **settings):
    effects = [Effect(what=f"e{place}", interval=interval) for place, interval in enumerate(intervals)]
    return claims.judged("claim", "source", "evidence", effects, **settings)


@pytest.mark.parametrize(
    ("intervals", "all_of_them", "one_of_them"),
    [
        ([ABOVE], "holds", "holds"),
        ([BELOW], "does not hold", "does not hold"),
        ([ACROSS], "undecided", "undecided"),
        ([NONE], "undecided", "undecided"),  # however large what was measured
        ([ABOVE, ABOVE], "holds", "holds"),
        ([ABOVE, ACROSS], "undecided", "holds"),
        ([ABOVE, BELOW], "does not hold", "holds"),
        ([ACROSS, BELOW], "does not hold", "undecided"),
        ([BELOW, BELOW], "does not hold", "does not hold"),
        ([NONE, BELOW], "does not hold", "undecided"),
        ([], "not measured", "not measured"),
    ],
)
def test_only_intervals_decide(intervals, all_of_them, one_of_them):
    assert judged(*intervals).verdict == all_of_them
    assert judged(*intervals, every=False).verdict == one_of_them


def test_an_undecided_claim_says_what_would_have_shown():
    claim = judged(ABOVE, ACROSS, NONE)
    size = statistics.detectable(ACROSS)
    assert claim.detectable == f"e1: +{size:.1f} points; e2: no size" and size == pytest.approx(
        2 * (1 + 0.8416 / 1.96), abs=0.01
    )
    assert judged(ABOVE).detectable == judged(BELOW, ACROSS).detectable == ""


def test_a_reservation_keeps_open_what_would_hold_and_nothing_else():
    claim = judged(ABOVE, reservation="it may be the updates")
    assert (claim.verdict, claim.evidence) == ("undecided", "evidence; it may be the updates")
    assert judged(BELOW, reservation="it may be").verdict == "does not hold"
    assert judged(ACROSS, reservation="it may be").evidence == "evidence"


@pytest.mark.parametrize(
    ("effect", "sentence", "detectable"),
    [
        (Effect(what="a", interval=Interval(-0.04, -2.0, 1.96)), "a 0.0 points [-2.0, 2.0]", "a: +2.8 points"),
        (Effect(what="a", interval=NONE), "a +9.0 points (no interval)", "a: no size"),
        (
            Effect(what="s", interval=statistics.wilson(53, 100), needed=0.5, scale="share", unit="%"),
            "s 53 % [43, 62]",
            "s: 64 %",
        ),
        (
            Effect(what="r", interval=statistics.correlation(0.4, 10), needed=0.5, scale="correlation", unit=""),
            "r 0.40 [-0.31, 0.85]",
            "r: 0.94",
        ),
        (
            Effect(what="s", interval=Interval(2.0, -80.0, 84.0), needed=10.0, unit="% of BP-epochs", most=100.0),
            "s +2 % of BP-epochs [-80, 84]",
            "s: no size",
        ),
        (Effect(what="d", interval=Interval(0.256, 0.1, 0.4), digits=2), "d +0.26 points [0.10, 0.40]", None),
    ],
)
def test_effects_in_words(effect, sentence, detectable):
    assert str(effect) == sentence
    assert detectable is None or effect.detectable == detectable


def test_several_intervals_are_wider():
    assert claims.confidence(1) == 0.95 and claims.confidence(5) == pytest.approx(0.99)


def test_the_table_has_the_rule_below_it():
    table = claims.table("name", "cifar10, vgg16", "title", [judged(ACROSS), judged(ABOVE)], ["Left out: a."])
    assert table.columns == ("", "claim", "evidence", "verdict", "would have shown from")
    assert [line[3:] for line in table.rows] == [("undecided", judged(ACROSS).detectable), ("holds", "-")]
    assert table.notes == (claims.RULE, "Left out: a.", "Source: source.") and tables.markdown(table)


def test_a_verdict_is_one_of_four():
    with pytest.raises(ValueError, match="expected one of"):
        claims.Claim("a", "b", "c", "maybe")


def test_an_end_that_rounds_to_what_is_needed_has_a_digit_more():
    interval = Interval(-0.21, -0.38, -0.04)
    assert str(Effect(what="nfr", interval=interval)) == "nfr -0.21 points [-0.38, -0.04]"
    assert str(Effect(what="nfr", interval=interval, needed=-1.0)) == "nfr -0.2 points [-0.4, 0.0]"
    open_ = dataclasses.replace(interval, high=0.02)
    assert str(Effect(what="nfr", interval=open_)) == "nfr -0.2 points [-0.4, 0.0]"
