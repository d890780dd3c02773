"""Arachne: search the few weights that matter for the failures and not for correct images (Sohn, Kang, Yoo 2023).

Costs of an entry: GL_N / (1 + GL_K), FI_N / (1 + FI_K), of the failures N and of K, as many kept images, every class as
often. Located is their Pareto front; differential evolution searches the values. Sohn, Kang, Yoo, TOSEM 32(4) 2023,
arXiv 1912.12463. Fitness = sum over C of h + alpha times the sum over N of h, h = 1 if correct, else 1 / (1 + CE).

Differences from the paper:
1. [D] GL and FI are means over images; published: GL is a sum, so that the 1 depends on the number of images.
2. [D] M is one of the first vectors. Images of x_test take no part (released: half of them are searched on).
"""

from __future__ import annotations  # its types load no library (pipeline/late.py)

import dataclasses

import numpy

from dare.repair import front_impact, kernels, loss_gradient, pareto, patch
from dare.repair.evolution import Evolution
from dare.repair.problem import Images, Problem, Repaired
from train.seeds import stream


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arachne:
    """The method.

    locate_by: "front"; or "gl", as many weights with the largest GL_N / (1 + GL_K).
    alpha: weight of the failures [P].
    confusion: repair one kind of clean failures alone, as most of the paper's experiments do: images of class y that M
        takes for k, (y, k), or True for the most frequent (y, k) of the repair part; False: all failures.
    search: the evolution.
    """

    title: str
    citation: str = "Sohn, Kang, Yoo, TOSEM 32(4) 2023"
    locate_by: str = "front"
    alpha: float = 10.0
    confusion: bool | tuple[int, int] = False
    search: Evolution = dataclasses.field(default_factory=Evolution)

    def repair(self, problem: Problem) -> Repaired:
        """M with the located entries at the best vector. Raises ValueError where M confuses nothing so."""
        if self.confusion is False:
            return self.searched(problem, *self.locate(problem))
        failures, pair = confused(problem, None if self.confusion is True else self.confusion)
        problem = dataclasses.replace(problem, failures=failures)
        entries, located = self.locate(problem)
        facts = located.facts | {"confusion": list(pair), "confused": len(failures)}
        return self.searched(problem, entries, dataclasses.replace(located, facts=facts))

    def locate(self, problem: Problem) -> tuple[kernels.Entries, Repaired]:
        """(the located entries, M's weights with the cost and facts of locating)."""
        layers = kernels.layers(problem.model)
        failing, kept = problem.failures, alike(problem.failures, problem.kept, problem.seed)
        gradients = loss_gradient.of(problem.model, [failing, kept], layers)
        of_failing, of_kept = (
            {name: part / len(images) for name, part in by_layer.items()}
            for by_layer, images in zip(gradients, (failing, kept), strict=True)
        )
        impacts = front_impact.of(problem.model, [failing.x, kept.x], layers)
        first = _ratio(of_failing, of_kept)
        located = pareto.front(first, _ratio(*impacts))
        count = int(located.sum())
        if self.locate_by == "gl":
            located = numpy.zeros(len(first), bool)
            located[numpy.argsort(-first, kind="stable")[:count]] = True
        ends = numpy.cumsum([numpy.prod(layer.kernel.shape) for layer in layers.values()]).astype(int)
        parts = numpy.split(located, ends[:-1])
        entries = kernels.Entries({name: numpy.flatnonzero(part) for name, part in zip(layers, parts, strict=True)})
        images = len(failing) + len(kept)
        facts = {"located": count, "located_in": {name: len(entries.of[name]) for name in layers}}
        return entries, Repaired(
            weights=problem.original,
            forward=images * (1 + 2 * len(layers)),
            backward=images * (1 + len(layers)),
            facts=facts,
        )

    def searched(self, problem: Problem, entries: kernels.Entries, located: Repaired) -> Repaired:
        """M with some entries at the best vector, and the cost of locating added."""

        def scored(correct, loss, failures):
            return fitness(correct, loss, failures, self.alpha)

        return patch.patched(problem, entries, located, problem.kept, by=self.search, fitness=scored)


def fitness(correct: numpy.ndarray, loss: numpy.ndarray, failures: int, alpha: float) -> numpy.ndarray:
    """Arachne's fitness (P,). correct, loss: (P, n), the failing images first; failures: their number."""
    h = numpy.where(correct, 1.0, 1 / (1 + loss))
    return h[:, failures:].sum(axis=1) + alpha * h[:, :failures].sum(axis=1)


def confused(problem: Problem, pair: tuple[int, int] | None = None) -> tuple[Images, tuple[int, int]]:
    """(M's failures of one confusion in the repair part, its (true, predicted) classes).

    pair: (true, predicted); None: the most frequent, of equals the first. What M predicts is read from the history.
    Raises ValueError for a confusion that the repair part does not have.
    """
    repair = problem.repair
    predicted = problem.history.record(problem.history.last)[1][repair.rows].astype("int64")
    failing = predicted != repair.y
    pairs = numpy.stack([repair.y[failing], predicted[failing]], axis=1)
    kinds, counts = numpy.unique(pairs, axis=0, return_counts=True)
    label, other = kinds[counts.argmax()] if pair is None else pair
    if [label, other] not in kinds.tolist():
        most = " ".join(map(str, kinds[counts.argmax()].tolist()))
        raise ValueError(
            f"no image of class {label} that is to be repaired is taken for class {other}: name a confusion that the "
            f"net makes, as {most}, its most frequent one"
        )
    return repair.take(numpy.flatnonzero((repair.y == label) & (predicted == other))), (int(label), int(other))


def alike(failing: Images, kept: Images, seed: int) -> Images:
    """K: as many kept images as fail, of each class its share of all kept images, at least 1, drawn at random."""
    generator, rows = stream(seed, "kept images that locate"), []
    for label in numpy.unique(kept.y):
        members = numpy.flatnonzero(kept.y == label)
        quota = max(1, round(len(failing) * len(members) / len(kept)))
        rows.append(generator.permutation(members)[:quota])
    return kept.take(numpy.sort(numpy.concatenate(rows)))


def _ratio(failing, kept):
    return numpy.concatenate([(failing[name] / (1 + kept[name])).ravel() for name in failing])
