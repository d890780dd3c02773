"""Particle swarm optimisation as NeuRecover runs it (Clerc and Kennedy 2002; Tokui et al., SANER 2022).

An iteration, for each particle: x <- x + v, with the old v; v <- chi (v + r1 (p - x) + r2 (g - x)), p and g the best
points of the particle and of the swarm before it; |v| of each value clipped; x is scored; p is updated. g is updated
once an iteration. chi = 2 / (phi - 2 + sqrt(phi^2 - 4 phi)) = .7298 with phi = 4.1; r1, r2: a number a particle.

Differences from the released code, which `as_released` undoes:
1. [D] r1, r2 ~ U(0, phi / 2), since the constriction wants phi1 + phi2 = phi. Released: U(0, phi).
2. [D] |v| is at most 5 b, with b = largest minus smallest value of the kernel. Released: also at least b / 5, so that
   the swarm never settles.
3. [D] Particle 0 is M itself. Released: M is not in the swarm, and the result may be worse than M.
"""

import dataclasses
import math
from collections.abc import Callable

import numpy

from dare.repair.search import Space
from train.seeds import stream


@dataclasses.dataclass(frozen=True, kw_only=True)
class Swarm:
    """The search.

    particles, iterations: their numbers [P].
    patience: iterations without a new best after which it stops [P].
    first_stop: the first iteration after which it may stop [P].
    phi: of the constriction [P].
    as_released: see above.
    """

    particles: int = 100
    iterations: int = 100
    patience: int = 10
    first_stop: int = 12
    phi: float = 4.1
    as_released: bool = False

    @property
    def generations(self) -> int:
        """The most iterations."""
        return self.iterations

    @property
    def constriction(self) -> float:
        """chi."""
        return 2 / (self.phi - 2 + math.sqrt(self.phi**2 - 4 * self.phi))

    def start(self, space: Space, score: Callable, seed: int) -> dict:
        """The first swarm, scored, as arrays by name. space, score, seed: as of search.run."""
        positions = space.drawn(self.particles, stream(seed, "swarm", 0))
        if not self.as_released:
            known = numpy.concatenate([space.original[None], space.starts])[: self.particles]
            positions[: len(known)] = known
        fitness = score(positions)
        best = int(fitness.argmax())
        return {
            "positions": positions,
            "velocities": numpy.zeros_like(positions),
            "own": positions,
            "own fitness": fitness,
            "best": positions[best : best + 1],
            "best fitness": fitness[best : best + 1],
        }

    def generation(self, arrays: dict, score: Callable, space: Space, seed: int, number: int) -> dict:
        """The swarm after one more iteration.

        arrays: as `start` and `generation` return them; number: of this iteration, from 1.
        Other arguments as of `start`.
        """
        positions = arrays["positions"] + arrays["velocities"]
        largest = self.phi if self.as_released else self.phi / 2
        draws = stream(seed, "swarm", number).uniform(0, largest, (2, self.particles, 1))
        pull = draws[0] * (arrays["own"] - positions) + draws[1] * (arrays["best"] - positions)
        velocities = self._clipped(self.constriction * (arrays["velocities"] + pull), space.high - space.low)
        fitness = score(positions)
        better = fitness > arrays["own fitness"]
        own = numpy.where(better[:, None], positions, arrays["own"])
        own_fitness = numpy.where(better, fitness, arrays["own fitness"])
        best, best_fitness = arrays["best"], arrays["best fitness"]
        leader = int(own_fitness.argmax())
        if own_fitness[leader] > best_fitness[0]:
            best, best_fitness = own[leader : leader + 1], own_fitness[leader : leader + 1]
        return {
            "positions": positions,
            "velocities": velocities,
            "own": own,
            "own fitness": own_fitness,
            "best": best,
            "best fitness": best_fitness,
        }

    def ended(self, trace: list) -> bool:
        """After all iterations, or from `first_stop` on when `patience` of them brought no new best."""
        iterations = len(trace) - 1
        stale = iterations >= max(self.first_stop, self.patience) and trace[-1] <= trace[-1 - self.patience]
        return iterations >= self.iterations or stale

    def _clipped(self, velocities, size):
        least = size / 5 if self.as_released else 0.0
        sign = numpy.where(velocities < 0, -1.0, 1.0)
        return sign * numpy.clip(numpy.abs(velocities), least, 5 * size)
