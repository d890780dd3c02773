"""A published claim, the effects measured for or against it, and the verdict that they allow: one line of a table each.

One rule for all studies. What a claim says is put as effects, each a number that has to exceed what the claim needs,
with the interval of what was measured. The claim "holds" where the data support it: the interval of every effect lies
above. It "does not hold" only where the data exclude it: an interval lies below. Else it is "undecided", and says how
large an effect would have had to be for an experiment of this size to show it. A claim of some effect among several
(every=False) holds where one interval lies above, and does not where all lie below.
"""

import dataclasses
import math

from reporting import statistics
from reporting.tables import Table, number, signed

VERDICTS = ("holds", "does not hold", "undecided", "not measured")
FORMATS = {  # unit: factor, digits, what follows, whether signed
    "points": (1, 1, " points", True),
    "% of BP-epochs": (1, 0, " % of BP-epochs", True),
    "times": (1, 1, " times", False),
    "%": (100, 0, " %", False),
    "": (1, 2, "", False),
}
RULE = (
    "holds: every interval lies above what the claim needs. does not hold: one lies below, so the data exclude the "
    "claim (of levers: one above, all below). undecided: neither; the last column says from which true size on an "
    "effect would have shown in four such experiments of five. Intervals: 95 %, wider where a claim has several "
    "(Bonferroni), so that a verdict errs at most once in twenty."
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Effect:
    """One number of a claim, which says that it exceeds `needed`.

    what: in words; interval: statistics.Interval of level `confidence`, in the unit of `needed` (ends of infinity: none
    can be given); scale: of statistics.SCALES; unit: of FORMATS, digits: instead of the unit's; most: the largest value
    there can be; freedom: degrees of freedom of the interval.
    """

    what: str
    interval: statistics.Interval
    needed: float = 0.0
    scale: str = "difference"
    unit: str = "points"
    most: float = math.inf
    digits: int | None = None
    freedom: float = math.inf
    confidence: float = 0.95

    @property
    def verdict(self):
        """Of this effect alone."""
        if self.interval.low > self.needed:
            return "holds"
        return "does not hold" if self.interval.high < self.needed else "undecided"

    @property
    def detectable(self):
        """The smallest effect that would have shown, in words."""
        found = statistics.detectable(
            self.interval, self.needed, scale=self.scale, freedom=self.freedom, confidence=self.confidence
        )
        shown = found is not None and found <= self.most
        return f"{self.what}: {self._shown(found) if shown else 'no size'}"

    def __str__(self):
        low, high = self.interval.low, self.interval.high
        if math.isinf(low) or math.isinf(high):
            return f"{self.what} {self._shown(self.interval.value)} (no interval)"
        low, high = (self._shown(end, plain=True) for end in (low, high))
        return f"{self.what} {self._shown(self.interval.value)} [{low}, {high}]"

    def _shown(self, value, plain=False):
        factor, digits, unit, sign = FORMATS[self.unit]
        shown = signed if sign and not plain else number
        return shown(factor * value, digits if self.digits is None else self.digits) + ("" if plain else unit)


@dataclasses.dataclass(frozen=True)
class Claim:
    """claim: what was published; source: where; evidence: what was measured, with its numbers; verdict: of VERDICTS;
    detectable: of an undecided one, what would have shown."""

    claim: str
    source: str
    evidence: str
    verdict: str
    detectable: str = ""

    def __post_init__(self):
        if self.verdict not in VERDICTS:
            raise ValueError(f"verdict is {self.verdict!r}, expected one of {', '.join(VERDICTS)}")


def confidence(count):
    """The level of each of `count` intervals that are at 95 % together (Bonferroni)."""
    return 1 - 0.05 / max(1, count)


def judged(claim, source, evidence, effects, *, every=True, reservation=""):
    """The Claim that the effects decide by the rule above; without any it was not measured.

    evidence: what was measured, with the effects in it; every: whether all have to exceed what they need, or one;
    reservation: why the claim may not hold although all intervals lie above ("" where nothing speaks against it).
    """
    if not effects:
        return Claim(claim, source, evidence, "not measured")
    verdicts = [one.verdict for one in effects]
    first, last = ("does not hold", "holds") if every else ("holds", "does not hold")
    verdict = first if first in verdicts else last if set(verdicts) == {last} else "undecided"
    if verdict == "holds" and reservation:
        return Claim(claim, source, f"{evidence}; {reservation}", "undecided")
    open_ones = [one.detectable for one in effects if one.verdict == "undecided"]
    return Claim(claim, source, evidence, verdict, "; ".join(open_ones) if verdict == "undecided" else "")


@dataclasses.dataclass(frozen=True)
class Judged(Table):
    """The Table of the claims of one cell, a line each. cell: data set and model; claims: the Claims themselves."""

    cell: str = ""
    claims: tuple = ()


def table(name, cell, title, claims, notes=()):
    """The Judged table of several claims. name: of its files; cell: "<data set>, <model>"; title: what they are."""
    lines = tuple(
        (str(place), claim.claim, claim.evidence, claim.verdict, claim.detectable or "-")
        for place, claim in enumerate(claims, 1)
    )
    sources = dict.fromkeys(claim.source for claim in claims)
    columns = ("", "claim", "evidence", "verdict", "would have shown from")
    notes = (RULE, *notes, *(f"Source: {source}." for source in sources))
    return Judged(name, f"{cell}: {title}", columns, lines, notes, cell=cell, claims=tuple(claims))
