"""The catalogue of the methods that edit a trained net.

A method has `title`, `citation` and `repair(problem)`. A new one is a file like averages.py and a line here.
"""

import dataclasses
from typing import Any

from dare.repair.apricot import Adjustment, Apricot
from dare.repair.arachne import Arachne
from dare.repair.at_random import RandomLocation
from dare.repair.averages import EmaEpoch, EmaStep, GreedySoup, Median, Swa
from dare.repair.ensemble import Ensemble
from dare.repair.neurecover import NeuRecover
from dare.repair.references import Reduced

NEURECOVER = NeuRecover(title="NeuRecover, two checkpoints")
ARACHNE = Arachne(title="Arachne")
APRICOT = Apricot(title="Apricot with checkpoints, to the correct ones")
METHODS = {
    "neurecover": NEURECOVER,
    "neurecover-history": dataclasses.replace(
        NEURECOVER, title="NeuRecover, all mined checkpoints", history=True, start="history"
    ),
    "neurecover-dense": dataclasses.replace(
        NEURECOVER, title="NeuRecover, dense layers alone, as released", convolutions=False
    ),
    "arachne": ARACHNE,
    "arachne-gl": dataclasses.replace(ARACHNE, title="Arachne, located by the gradient alone", locate_by="gl"),
    "arachne-confusion": dataclasses.replace(ARACHNE, title="Arachne, on the most frequent confusion", confusion=True),
    "apricot": dataclasses.replace(
        APRICOT, title="Apricot with reduced models, to the correct ones", references=Reduced()
    ),
    "apricot-history": APRICOT,
    "apricot-history-released": dataclasses.replace(
        APRICOT, title="Apricot with checkpoints, the released sign", adjustment=Adjustment(sign="as-released")
    ),
    "apricot-history-right": dataclasses.replace(
        APRICOT, title="Apricot with checkpoints, to the correct ones alone", adjustment=Adjustment(only="right")
    ),
    "apricot-history-tuned": dataclasses.replace(
        APRICOT, title="Apricot with checkpoints, then ten training steps", steps=10
    ),
    "ema-epoch": EmaEpoch(),
    "ema-step": EmaStep(),
    "median": Median(),
    "greedy-soup": GreedySoup(),
    "ensemble": Ensemble(),
    "swa": Swa(),
    "random-neurecover": RandomLocation(title="as many weights as neurecover at random, its search", of=NEURECOVER),
    "random-arachne": RandomLocation(title="as many weights as arachne at random, its search", of=ARACHNE),
}


def _of(*kinds):
    return tuple(name for name, entry in METHODS.items() if isinstance(entry, kinds))


OF_CLEAN = tuple(name for name, entry in METHODS.items() if getattr(entry, "confusion", False))  # no adversarials
OF_HISTORY = _of(Swa, Median, EmaStep, Ensemble)  # these read no failures
TRAINED = tuple(name for name, entry in METHODS.items() if isinstance(getattr(entry, "references", None), Reduced))
RECORDED = (*_of(Arachne), *TRAINED)  # these read no checkpoint, nor do their controls
RECORDED += tuple(name for name in _of(RandomLocation) if isinstance(METHODS[name].of, Arachne))
CONTROLS = ("swa", *_of(RandomLocation))
DRAWN = _of(NeuRecover, Arachne, Apricot, RandomLocation)  # these draw random numbers, so that a repeat differs


def method(
    name: str,
    *,
    particles: int | None = None,
    generations: int | None = None,
    images: int | None = None,
    confusion: tuple[int, int] | None = None,
) -> Any:
    """The method of a name, with other sizes than the published ones.

    particles: of a swarm, and vectors of an evolution; generations: of both, the most.
    images: of x_train, for batch-norm statistics.
    confusion: (true, predicted) classes, for a method that repairs one confusion (None: the most frequent).
    """
    entry = METHODS[name]
    if confusion is not None and getattr(entry, "confusion", False):
        title = f"Arachne, on class {confusion[0]} taken for {confusion[1]}"
        entry = dataclasses.replace(entry, confusion=tuple(confusion), title=title)
    return _sized(entry, particles, generations, images)


def _sized(entry, particles, generations, images):
    changes = {}
    if isinstance(entry, RandomLocation):
        changes["of"] = _sized(entry.of, particles, generations, images)
    if isinstance(entry, NeuRecover):
        sizes = {"particles": particles, "iterations": generations}
    elif isinstance(entry, Arachne):
        sizes = {"vectors": particles, "generations": generations}
    else:
        sizes = {}
    if hasattr(entry, "search"):
        overrides = {name: size for name, size in sizes.items() if size is not None}
        changes["search"] = dataclasses.replace(entry.search, **overrides)
    if hasattr(entry, "images"):
        changes["images"] = images
    return dataclasses.replace(entry, **changes)
