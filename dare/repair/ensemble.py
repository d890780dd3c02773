"""The ensemble of the checkpoints: an upper bound for their averages, since it is not one model but T."""

from __future__ import annotations  # its types load no library (pipeline/late.py)

import dataclasses
import math

import keras

from dare.repair.problem import Problem, Repaired
from train.checkpoints import Checkpoints
from train.history import History


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ensemble:
    """The mean of the softmax of the mined epochs and E; its logits are the logarithm of the mean. [D]

    An attack goes through all T models at once.
    """

    title: str = "mean softmax of the checkpoints: T models, not one"
    citation: str | None = None

    def repair(self, problem: Problem) -> Repaired:
        """The ensemble, as a model."""
        epochs = [*problem.mined, problem.history.last]
        return Repaired(model=of(problem.model, problem.history, epochs), facts={"checkpoints": len(epochs)})


def of(model: keras.Model, history: History | Checkpoints, epochs: list[int]) -> keras.Model:
    """A model whose logits are the log of the mean softmax of `model` under several epochs' weights, from `history`.

    It is computed from log-softmaxes: the mean of softmaxes that round to 0 or 1 would leave an attack no gradient.
    Where models that are certain disagree the mean is flat all the same, and the check `gradient` says so.
    """
    inputs = keras.Input(model.input_shape[1:], name="image")
    outputs = []
    for epoch in epochs:
        member = keras.models.clone_model(model)
        member.name = f"epoch{epoch}"
        history.load_weights(member, epoch)
        outputs.append(keras.ops.log_softmax(member(inputs)))
    mean = keras.ops.logsumexp(keras.ops.stack(outputs), axis=0) - math.log(len(outputs))
    return keras.Model(inputs, mean, name=f"{model.name}_ensemble")
