"""A published claim, the effects measured for or against it, and its verdict: one line of a table each.

All studies share one rule. A claim consists of effects: measured numbers with intervals, each of which has to exceed
a needed value. The claim "holds" if the interval of every effect lies above the needed value. It "does not hold" if
the interval of any effect lies below. Otherwise it is "undecided", and the table gives the smallest effect that an
experiment of this size would have shown. A claim that needs only one of its effects (every=False) holds if any
interval lies above, and does not hold if all lie below.
"""

import dataclasses
import math
from collections.abc import Sequence

from reporting import statistics
from reporting.tables import Table, number, signed

VERDICTS = ("holds", "does not hold", "undecided", "not measured")
FORMATS = {  # unit -> (factor, digits, text after the number, whether to print a plus sign)
    "points": (1, 1, " points", True),
    "% of BP-epochs": (1, 0, " % of BP-epochs", True),
    "times": (1, 1, " times", False),
    "%": (100, 0, " %", False),
    "": (1, 2, "", False),
}
RULE = (
    "holds: the interval of every effect lies above the value that the claim needs. does not hold: the interval of at "
    "least one effect lies below it. (Where one of several is enough, as for levers: at least one above; all below.) "
    "undecided: neither; the last column gives for each effect by itself the smallest true size that four of five such "
    "experiments would show. Intervals are at 95 %, and wider if a claim has several effects (Bonferroni), so that at "
    "most one verdict in twenty is wrong."
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Effect:
    """One measured number of a claim. The claim says that it exceeds `needed`.

    what: a description in words
    interval: of level `confidence`, in the unit of `needed`; infinite ends if no interval can be given
    scale: key of statistics.SCALES
    unit: key of FORMATS; digits: printed digits, default the unit's
    most: the largest possible value
    freedom: degrees of freedom of the interval
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
    def verdict(self) -> str:
        """The verdict of this effect alone."""
        if self.interval.low > self.needed:
            return "holds"
        return "does not hold" if self.interval.high < self.needed else "undecided"

    @property
    def detectable(self) -> str:
        """The smallest effect that an experiment of this size would have shown, in words."""
        smallest = statistics.detectable(
            self.interval, self.needed, scale=self.scale, freedom=self.freedom, confidence=self.confidence
        )
        possible = smallest is not None and smallest <= self.most
        return f"{self.what}: {self._shown(smallest) if possible else 'no size'}"

    def __str__(self):
        low, high = self.interval.low, self.interval.high
        if math.isinf(low) or math.isinf(high):
            return f"{self.what} {self._shown(self.interval.value)} (no interval)"
        more = self._more()
        ends = f"[{self._shown(low, True, more)}, {self._shown(high, True, more)}]"
        return f"{self.what} {self._shown(self.interval.value, more=more)} {ends}"

    def _more(self):
        """How many digits more tell both ends from what is needed, where there is a verdict: 4 at most."""
        if self.verdict == "undecided":
            return 0
        for more in range(4):
            ends = (self._shown(end, True, more) for end in (self.interval.low, self.interval.high))
            if self._shown(self.needed, True, more) not in ends:
                return more
        return 4

    def _shown(self, value, plain=False, more=0):
        """The value in words. plain: without unit and plus sign; more: digits more, to tell it from another."""
        factor, digits, unit, sign = FORMATS[self.unit]
        text_of = signed if sign and not plain else number
        digits = (digits if self.digits is None else self.digits) + more
        return text_of(factor * value, digits) + ("" if plain else unit)


@dataclasses.dataclass(frozen=True)
class Claim:
    """One published claim with its verdict.

    claim: the published statement
    source: the paper
    evidence: the measured numbers, in words
    verdict: one of VERDICTS
    detectable: if undecided, the smallest effects that would have shown
    """

    claim: str
    source: str
    evidence: str
    verdict: str
    detectable: str = ""

    def __post_init__(self):
        if self.verdict not in VERDICTS:
            raise ValueError(f"verdict is {self.verdict!r}, expected one of {', '.join(VERDICTS)}")


def confidence(count: int) -> float:
    """The level of each of `count` intervals so that all hold together at 95 % (Bonferroni)."""
    return 1 - 0.05 / max(1, count)


def judged(
    claim: str, source: str, evidence: str, effects: list[Effect], *, every: bool = True, reservation: str = ""
) -> Claim:
    """The Claim with the verdict that its effects give by the rule above; "not measured" without effects.

    evidence: the measured numbers in words, the effects among them
    every: True if all effects have to exceed their needed value, False if one is enough
    reservation: a reason why the claim may not hold although all intervals lie above; "" for none
    """
    if not effects:
        return Claim(claim, source, evidence, "not measured")
    verdicts = [effect.verdict for effect in effects]
    first, last = ("does not hold", "holds") if every else ("holds", "does not hold")
    verdict = first if first in verdicts else last if set(verdicts) == {last} else "undecided"
    if verdict == "holds" and reservation:
        return Claim(claim, source, f"{evidence}; {reservation}", "undecided")
    undecided = [effect.detectable for effect in effects if effect.verdict == "undecided"]
    return Claim(claim, source, evidence, verdict, "; ".join(undecided) if verdict == "undecided" else "")


@dataclasses.dataclass(frozen=True)
class Judged(Table):
    """The Table of one cell's claims, a line each.

    cell: "<data set>, <model>"
    claims: the Claims behind the lines
    """

    cell: str = ""
    claims: tuple = ()


def table(name: str, cell: str, title: str, claims: list[Claim], notes: Sequence[str] = ()) -> Judged:
    """The Judged table of several claims.

    name: of the table's files
    cell: "<data set>, <model>"
    title: what the claims are about
    notes: further sentences below the table
    """
    lines = tuple(
        (str(place), claim.claim, claim.evidence, claim.verdict, claim.detectable or "-")
        for place, claim in enumerate(claims, 1)
    )
    sources = dict.fromkeys(claim.source for claim in claims)
    columns = ("", "claim", "evidence", "verdict", "would have shown from")
    notes = (RULE, *notes, *(f"Source: {source}." for source in sources))
    return Judged(name, f"{cell}: {title}", columns, lines, notes, cell=cell, claims=tuple(claims))
