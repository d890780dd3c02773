"""A published claim, the evidence measured for or against it, and a verdict: one line of a table each."""

import dataclasses

from results.tables import Table

VERDICTS = ("holds", "does not hold", "undecided", "not measured")


@dataclasses.dataclass(frozen=True)
class Claim:
    """claim: what was published; source: where; evidence: what was measured, with its numbers; verdict: of VERDICTS."""

    claim: str
    source: str
    evidence: str
    verdict: str

    def __post_init__(self):
        if self.verdict not in VERDICTS:
            raise ValueError(f"verdict is {self.verdict!r}, expected one of {', '.join(VERDICTS)}")


def table(name, title, claims):
    """The Table of several claims."""
    lines = tuple((str(place), one.claim, one.evidence, one.verdict) for place, one in enumerate(claims, 1))
    sources = dict.fromkeys(one.source for one in claims)
    return Table(name, title, ("", "claim", "evidence", "verdict"), lines, tuple(f"Source: {one}." for one in sources))


def verdict(difference, margin):
    """ "holds" where a difference that the claim says is positive exceeds the margin, "does not hold" where it is as
    far below zero, else "undecided". Both in the same unit; None: "not measured"."""
    if difference is None:
        return "not measured"
    return "holds" if difference > margin else "does not hold" if difference < -margin else "undecided"
