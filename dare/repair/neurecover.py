"""NeuRecover: repair regressions of training by searching the weights that changed and matter (Tokui et al. 2022).

D are images that M misclassifies and an earlier checkpoint classified correctly, I those that improved. Of each layer l
the n_l entries that changed most and have the largest forward and backward impact on D are located, except those with
the largest impacts on I. Particles search their values. Tokui, Tokumoto, Yoshii, Ishikawa, Nakagawa, Munakata, Kikuchi,
SANER 2022, arXiv 2203.00191. Fitness = (patched / |N| + 1) / (L_N + 1) + alpha (intact / |C'| + 1) / (L_C' + 1), L mean
cross-entropy.

Differences from the paper:
1. [D] Convolutions take part (`convolutions`); released: dense layers alone.
2. [D] C' is drawn without replacement; `as_released` draws with.
3. [D] D or I is empty: the suspicion of a layer is its share of the change, or nothing is spared.
4. [D] `history`: D and I over all mined epochs; an entry's change is |w_E - mean over D of w_r(i)|, r(i) the mined
   epoch that is correct and most confident on image i, as DARE chooses it. Published: only the epochs E and E-1.
"""

from __future__ import annotations  # its types load no library (pipeline/late.py)

import dataclasses

import numpy

from dare.repair import forward_impact, kernels, loss_gradient, past, patch
from dare.repair.problem import Images, Problem, Repaired
from dare.repair.swarm import Swarm
from train.seeds import stream


@dataclasses.dataclass(frozen=True, kw_only=True)
class NeuRecover:
    """The method.

    history: D, I and the change over all mined epochs, not two.
    rho: entries that a layer gives, as a multiple of its suspicion times its size [P].
    alpha: weight of the kept images [P].
    intact: their number |C'| [P].
    start: "drawn" particles, or "history": the first are the located values of the mined checkpoints [D].
    convolutions: whether convolutions take part.
    search: the swarm.
    """

    title: str
    citation: str = "Tokui et al., SANER 2022"
    history: bool = False
    rho: float = 1.0
    alpha: float = 1.0
    intact: int = 200
    start: str = "drawn"
    convolutions: bool = True
    search: Swarm = dataclasses.field(default_factory=Swarm)

    def repair(self, problem: Problem) -> Repaired:
        """M with the located entries at the best particle; M itself where nothing is located."""
        entries, located = self.locate(problem)
        return self.searched(problem, entries, located)

    def locate(self, problem: Problem) -> tuple[kernels.Entries, Repaired]:
        """(the located entries, M's weights with the cost and facts of locating)."""
        layers = kernels.layers(problem.model, convolutions=self.convolutions)
        epochs = problem.mined if self.history else _last_but_one(problem)
        degraded, improved, counts, passes = self.sides(problem, epochs)
        older = past.mean_of_epochs(problem, counts or {epochs[-1]: 1.0})
        change = {
            name: numpy.abs(problem.original[place] - older[place])
            for name, place in kernels.places(problem.model, layers).items()
        }
        forward = forward_impact.of(problem.model, [degraded.x, improved.x], layers)
        backward = loss_gradient.of(problem.model, [degraded, improved], layers)
        suspicions = suspicion(change, *forward, spare=len(improved) > 0, blame=len(degraded) > 0)
        numbers = {name: round(self.rho * change[name].size * suspicions[name]) for name in layers}

        def largest(values):
            return {name: _largest(values[name], numbers[name]) for name in layers}

        changed = largest(change)
        blamed = [largest(part[0]) for part in (forward, backward)] if len(degraded) else []
        spared = [largest(part[1]) for part in (forward, backward)] if len(improved) else []
        entries = {}
        for name in layers:
            located = numpy.logical_and.reduce([changed[name], *(part[name] for part in blamed)])
            if spared:
                located &= ~numpy.logical_and.reduce([part[name] for part in spared])
            entries[name] = numpy.flatnonzero(located)
        entries = kernels.Entries(entries)
        images = len(degraded) + len(improved)
        facts = {"degraded": len(degraded), "improved": len(improved), "located": len(entries)}
        facts["located_in"] = {name: len(entries.of[name]) for name in layers}
        return entries, Repaired(weights=problem.original, forward=2 * images + passes, backward=images, facts=facts)

    def sides(self, problem: Problem, epochs: list[int]) -> tuple[Images, Images, dict, int]:
        """(D, I, epoch -> number of the images of D whose r(i) it is, forward passes)."""
        correct, confidence, passes = past.outcomes(problem, problem.failures, epochs)
        degraded = correct.any(axis=0)
        chosen = numpy.where(correct, confidence, -numpy.inf).argmax(axis=0)[degraded]
        places, numbers = numpy.unique(chosen, return_counts=True)
        counts = {epochs[place]: float(count) for place, count in zip(places, numbers, strict=True)}
        kept_correct, _, kept_passes = past.outcomes(problem, problem.kept, epochs)
        improved = problem.kept.take(numpy.flatnonzero(~kept_correct.all(axis=0)))
        return problem.failures.take(numpy.flatnonzero(degraded)), improved, counts, passes + kept_passes

    def searched(self, problem: Problem, entries: kernels.Entries, located: Repaired) -> Repaired:
        """M with some entries at the best particle, and the cost of locating added."""
        generator, count = stream(problem.seed, "intact images"), len(problem.kept)
        size = min(self.intact, count)
        if self.search.as_released:
            rows = generator.integers(count, size=size)
        else:
            rows = numpy.sort(generator.permutation(count)[:size])
        epochs = problem.mined[-(self.search.particles // 2) :] if self.start == "history" else []
        starts = [past.mean_of_epochs(problem, {epoch: 1.0}) for epoch in epochs] if len(entries) else []

        def scored(correct, loss, failures):
            return fitness(correct, loss, failures, self.alpha)

        kept = problem.kept.take(rows)
        return patch.patched(problem, entries, located, kept, by=self.search, fitness=scored, starts=starts)


def fitness(correct: numpy.ndarray, loss: numpy.ndarray, failures: int, alpha: float) -> numpy.ndarray:
    """NeuRecover's fitness (P,).

    correct, loss: bool and float (P, n), the failing images first; failures: their number.
    """
    total = 0.0
    for weight, part in ((1.0, slice(None, failures)), (alpha, slice(failures, None))):
        total = total + weight * (correct[:, part].mean(axis=1) + 1) / (loss[:, part].mean(axis=1) + 1)
    return total


def suspicion(change: dict, degraded: dict, improved: dict, *, spare: bool = True, blame: bool = True) -> dict:
    """name of a layer -> its suspicion d f_D / (f_D + f_I), 0 where f_D = 0.

    change: name -> change of each entry; degraded, improved: name -> forward impact of each entry on D and on I.
    d, f: a layer's mean, divided by the sum of the means of all layers.
    spare: whether I has an image (else f_I is 0); blame: whether D has one (else the suspicion is d).
    """
    changed, on_degraded, on_improved = map(_shares, (change, degraded, improved))
    if not blame:
        return changed
    result = {}
    for name in change:
        total = on_degraded[name] + (on_improved[name] if spare else 0.0)
        result[name] = changed[name] * on_degraded[name] / total if on_degraded[name] else 0.0
    return result


def _shares(values):
    means = {name: float(numpy.mean(part)) for name, part in values.items()}
    total = sum(means.values())
    return {name: mean / total if total else 0.0 for name, mean in means.items()}


def _largest(values, count):
    """Where the `count` largest values are, ties by index: bool, flat."""
    largest = numpy.zeros(values.size, bool)
    largest[numpy.argsort(-values.ravel(), kind="stable")[:count]] = True
    return largest


def _last_but_one(problem):
    """[E-1]. Raises ValueError where its weights are not stored."""
    epoch = problem.history.last - 1
    if epoch not in problem.history.stored:
        raise ValueError(
            f"{problem.history.path}: no weights of epoch {epoch}, the one before the last, which NeuRecover compares "
            "with: train with --keep second-half or all"
        )
    return [epoch]
