"""A patch: the best values that a search finds for located entries, scored on failures and kept images."""

from __future__ import annotations  # its types load no library (pipeline/late.py)

from collections.abc import Callable

import numpy

from dare.repair import candidates, kernels, search
from dare.repair.evolution import Evolution
from dare.repair.problem import Images, Problem, Repaired
from dare.repair.swarm import Swarm
from data import files


def patched(
    problem: Problem,
    entries: kernels.Entries,
    located: Repaired,
    kept: Images,
    *,
    by: Evolution | Swarm,
    fitness: Callable,
    starts: list[list] | None = None,
) -> Repaired:
    """M with the located entries at the best point of a search; every other weight keeps its bits.

    problem: what is repaired.
    entries: located; without any M comes back.
    located: what locating cost, and its facts, which are added.
    kept: images that should stay correct.
    by: the search (search.py).
    fitness: (correct, loss, number of failures) -> (P,), of candidates.outcomes with the failures first.
    starts: weight sets whose values are further first points.
    """
    if not len(entries):
        return located
    scored = candidates.Candidates(problem.model, problem.original, entries, [problem.failures.x, kept.x])
    labels = numpy.concatenate([problem.failures.y, kept.y])

    def score(positions):
        parts = []
        for first in range(0, len(positions), scored.together):
            logits = scored.logits(positions[first : first + scored.together])
            parts.append(fitness(*candidates.outcomes(logits, labels), len(problem.failures)))
        return numpy.concatenate(parts)

    space = search.space(entries, problem.model, problem.original, starts or [])
    before = float(score(space.original[None])[0])
    result = search.run(
        by,
        space,
        score,
        seed=problem.seed,
        identity=files.fingerprint(labels, *scored.activations),
        path=problem.state,
        progress=problem.progress,
    )
    facts = {"generations": len(result.trace) - 1, "evaluations": result.evaluations}
    facts |= {"fitness": [before, result.trace[-1]]}
    return Repaired(
        weights=entries.written(problem.model, problem.original, result.best.astype("float32")),
        forward=located.forward + (result.evaluations + 1) * len(labels),
        backward=located.backward,
        facts=located.facts | facts,
    )
