"""Robust training: one loop (`fit`), a strategy for each family of methods, controllers of the number of steps.

from train import robust
history = robust.fit(model, split, method=robust.METHODS["m+deat"], setup=robust.SETUPS["fast"], history=path, seed=0)
"""

from train.robust.average import AVERAGES, Median
from train.robust.catalogue import METHODS, Method
from train.robust.class_factors import ClassFactors, from_accuracy
from train.robust.fit import fit
from train.robust.mined import Mined
from train.robust.nuclear import Nuclear
from train.robust.probe import Probe, selected
from train.robust.replay import Replay
from train.robust.setup import SETUPS, Setup
from train.robust.setup import of as setup_of
from train.robust.yopo import Yopo

__all__ = [
    "AVERAGES",
    "METHODS",
    "SETUPS",
    "ClassFactors",
    "Median",
    "Method",
    "Mined",
    "Nuclear",
    "Probe",
    "Replay",
    "Setup",
    "Yopo",
    "fit",
    "from_accuracy",
    "selected",
    "setup_of",
]
