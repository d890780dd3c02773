"""Control: as many weights as a method locates, drawn at random, with the method's own search.

It is Arachne's own baseline too. Not in NeuRecover's paper [D].
"""

from __future__ import annotations  # its types load no library (pipeline/late.py)

import dataclasses
from typing import Any

from dare.repair import kernels
from dare.repair.problem import Problem, Repaired
from train.seeds import stream


@dataclasses.dataclass(frozen=True, kw_only=True)
class RandomLocation:
    """The control. of: the method with `locate` and `searched`."""

    title: str
    of: Any
    citation: str | None = None

    def repair(self, problem: Problem) -> Repaired:
        """M with entries at random at the best point of the search; locating is not counted."""
        method_entries, located = self.of.locate(problem)
        layers = kernels.layers(problem.model)
        entries = kernels.at_random(layers, len(method_entries), stream(problem.seed, "random location"))
        facts = {"located": len(entries), "located_in": {name: len(entries.of[name]) for name in layers}}
        return self.of.searched(problem, entries, Repaired(weights=located.weights, facts=facts))
