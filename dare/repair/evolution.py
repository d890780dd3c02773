"""Differential evolution as Arachne runs it (Storn and Price 1997; Sohn, Kang, Yoo, TOSEM 32(4) 2023).

A generation: F ~ U(.5, 1) once. For each vector i in turn: distinct a, b, c other than i; y_d = clip(a_d + F (b_d -
c_d)) where d is a random index or U < .7, else x_d. y replaces x_i at once if its fitness is at least that of x_i.
The best vector ever is the result.

Differences from the released code:
1. [D] M is one of the first vectors, so the result is never worse than M.
"""

import dataclasses
from collections.abc import Callable

import numpy

from dare.repair.search import Space
from train.seeds import stream


@dataclasses.dataclass(frozen=True, kw_only=True)
class Evolution:
    """The search.

    vectors, generations: their numbers [P].
    patience: it stops after more than so many generations with an unchanged best (float32) [P].
    crossover: probability that a value is recombined [P].
    factor: smallest and largest F [P].
    """

    vectors: int = 100
    generations: int = 100
    patience: int = 10
    crossover: float = 0.7
    factor: tuple = (0.5, 1.0)

    def start(self, space: Space, score: Callable, seed: int) -> dict:
        """The first vectors, scored, as arrays by name.

        space, score, seed: as of search.run. Raises ValueError for fewer than four vectors, since y takes three others.
        """
        if self.vectors < 4:
            raise ValueError(f"{self.vectors} vectors, expected at least 4")
        positions = space.drawn(self.vectors, stream(seed, "evolution", 0))
        known = numpy.concatenate([space.original[None], space.starts])[: self.vectors]
        positions[: len(known)] = known
        fitness = score(positions)
        best = int(fitness.argmax())
        return {
            "positions": positions,
            "fitness": fitness,
            "best": positions[best : best + 1],
            "best fitness": fitness[best : best + 1],
        }

    def generation(self, arrays: dict, score: Callable, space: Space, seed: int, number: int) -> dict:
        """The vectors after one more generation.

        arrays: as `start` and `generation` return them; number: of this generation, from 1.
        Other arguments as of `start`.
        """
        positions, fitness = arrays["positions"].copy(), arrays["fitness"].copy()
        best, best_fitness = arrays["best"], arrays["best fitness"]
        low, high = bounds(space)
        generator = stream(seed, "evolution", number)
        factor = generator.uniform(*self.factor)
        for i in range(len(positions)):
            indices = generator.permutation(len(positions) - 1)[:3]
            a, b, c = positions[indices + (indices >= i)]
            crossed = generator.random(len(low)) < self.crossover
            crossed[generator.integers(len(low))] = True
            trial = numpy.where(crossed, numpy.clip(a + factor * (b - c), low, high), positions[i])
            value = score(trial[None])
            if value[0] >= fitness[i]:
                positions[i], fitness[i] = trial, value[0]
                if value[0] > best_fitness[0]:
                    best, best_fitness = trial[None], value
        return {"positions": positions, "fitness": fitness, "best": best, "best fitness": best_fitness}

    def ended(self, trace: list) -> bool:
        """After all generations, or when more than `patience` of them left the best unchanged in float32."""
        generations = len(trace) - 1
        recent = numpy.asarray(trace[-2 - self.patience :], "float32")
        return generations >= self.generations or (generations > self.patience and bool((recent == recent[0]).all()))


def bounds(space: Space) -> tuple:
    """(smallest, largest) admitted value of each entry (m,): twice the kernel's, halved where its sign is the other."""
    low = numpy.where(space.low < 0, 2 * space.low, space.low / 2)
    high = numpy.where(space.high > 0, 2 * space.high, space.high / 2)
    return low, high
