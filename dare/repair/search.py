"""The loop of every search: a space, a population, a generation at a time, kept on the disk after each.

A search is a frozen dataclass with

- `start(space, score, seed)` -> arrays of the first population, "positions" (P, m) among them
- `generation(arrays, score, space, seed, number)` -> arrays of the next; number counts from 1
- `ended(trace)` -> whether it stops; trace: the best fitness after each generation, that of the start first

Its random numbers depend only on seed and generation, so a killed search continues with the same bits. The searches of
scipy (differential_evolution), pycma, nevergrad and evosax were weighed: none has the published rules (velocities
clipped by kernel, replacement in turn), and all but scipy's are a further dependency.
"""

from __future__ import annotations  # its types load no library (pipeline/late.py)

import dataclasses
import pathlib
import typing
from collections.abc import Callable

import keras
import numpy

from dare.repair import kernels
from data import files

if typing.TYPE_CHECKING:
    from dare.repair.evolution import Evolution
    from dare.repair.swarm import Swarm

KIND = "state of a search"


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Space:
    """What is searched: m values.

    original: M's own (m,).
    mean, std, low, high: mean, standard deviation, smallest and largest value of each entry's kernel (m,).
    starts: further starting points (k, m), such as the values of older checkpoints.
    """

    original: numpy.ndarray
    mean: numpy.ndarray
    std: numpy.ndarray
    low: numpy.ndarray
    high: numpy.ndarray
    starts: numpy.ndarray

    def drawn(self, count: int, generator: numpy.random.Generator) -> numpy.ndarray:
        """`count` points (count, m), each value normal with mean and deviation of its kernel."""
        return self.mean + self.std * generator.standard_normal((count, len(self.mean)))

    @property
    def identity(self) -> str:
        """A digest of all its arrays."""
        return files.fingerprint(*(getattr(self, field.name) for field in dataclasses.fields(self)))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Result:
    """The result of a search. best: (m,); trace: best fitness after each generation; evaluations: points scored."""

    best: numpy.ndarray = dataclasses.field(repr=False)
    trace: list
    evaluations: int


def space(entries: kernels.Entries, model: keras.Model, original: list, starts: list[list]) -> Space:
    """The Space of some kernel entries.

    entries: kernels.Entries of `model`; original: its weights.
    starts: weight sets whose values are further starting points.
    """
    place = kernels.places(model, entries.layers)
    statistics = {
        name: entries.each({layer: float(function(original[place[layer]].astype("float64"))) for layer in place})
        for name, function in (("mean", numpy.mean), ("std", numpy.std), ("low", numpy.min), ("high", numpy.max))
    }
    values = entries.read(model, original).astype("float64")
    points = [entries.read(model, weights).astype("float64") for weights in starts]
    return Space(original=values, starts=numpy.array(points).reshape(len(points), len(values)), **statistics)


def run(
    search: Evolution | Swarm,
    space: Space,
    score: Callable,
    *,
    seed: int,
    identity: str = "",
    path: pathlib.Path | None = None,
    progress: Callable | None = None,
) -> Result:
    """Search until the search ends: Result.

    search: an Evolution or a Swarm.
    score: positions (P, m) -> fitness (P,), larger is better.
    seed: of its random numbers.
    identity: of what else the score depends on.
    path: file of the state after the last generation; a state of another search in it is refused (None: not kept).
    progress: called as progress(done, total, note) after each generation.
    Raises ValueError for a file of another search.
    """
    counted = _Counted(score)
    facts = {"search": repr(search), "space": space.identity, "seed": seed, "identity": identity}
    state = _read(path, facts)
    if state is None:
        arrays = search.start(space, counted, seed)
        trace = [float(arrays["best fitness"][0])]
        _write(path, arrays, facts, trace, counted.count)
    else:
        arrays, trace, counted.count = state
    while not search.ended(trace):
        arrays = search.generation(arrays, counted, space, seed, len(trace))
        trace = [*trace, float(arrays["best fitness"][0])]
        _write(path, arrays, facts, trace, counted.count)
        if progress is not None:
            progress(len(trace) - 1, search.generations, f"fitness {trace[-1]:.6g}")
    return Result(best=arrays["best"][0], trace=trace, evaluations=counted.count)


class _Counted:
    """A score that counts the points it was asked for."""

    def __init__(self, score):
        self.score, self.count = score, 0

    def __call__(self, positions):
        self.count += len(positions)
        return numpy.asarray(self.score(positions), "float64")


def _write(path, arrays, facts, trace, count):
    if path is not None:
        files.save_artefact(path, KIND, arrays, {**facts, "trace": trace, "evaluations": count})


def _read(path, facts):
    """(arrays, trace, points scored) of a kept state; None where there is none."""
    if path is None or not pathlib.Path(path).is_file():
        return None
    arrays, saved = files.load_artefact(path, KIND, facts=[*facts, "trace", "evaluations"])
    differing = [name for name, value in facts.items() if saved[name] != value]
    if differing:
        raise ValueError(f"{path}: is the state of a search with another {differing[0]}: pass --overwrite")
    return arrays, saved["trace"], saved["evaluations"]
