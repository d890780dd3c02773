"""Training with a history: the published recipes, the record of every epoch, and fine-tuning."""

from train.fit import fit
from train.history import History

__all__ = ["History", "fit"]
