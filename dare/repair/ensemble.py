"""The ensemble of the checkpoints: an upper bound for their averages, since it is not one model but T."""

from __future__ import annotations  # its types load no library (pipeline/late.py)

import dataclasses

import keras

from dare.repair.problem import Problem, Repaired
from train.checkpoints import Checkpoints
from train.history import History


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ensemble:
    """The mean of the softmax of the mined epochs and E; its logits are the logarithm of the mean. [D]"""

    title: str = "mean softmax of the checkpoints: T models, not one"
    citation: str | None = None

    def repair(self, problem: Problem) -> Repaired:
        """The ensemble, as a model."""
        epochs = [*problem.mined, problem.history.last]
        return Repaired(model=of(problem.model, problem.history, epochs), facts={"checkpoints": len(epochs)})


def of(model: keras.Model, history: History | Checkpoints, epochs: list[int]) -> keras.Model:
    """A model whose logits are the log of the mean softmax of `model` under several epochs' weights, from `history`."""
    inputs = keras.Input(model.input_shape[1:], name="image")
    outputs = []
    for epoch in epochs:
        member = keras.models.clone_model(model)
        member.name = f"epoch{epoch}"
        history.load_weights(member, epoch)
        outputs.append(keras.layers.Softmax(dtype="float32", name=f"softmax{epoch}")(member(inputs)))
    mean = keras.layers.Average(name="mean")(outputs) if len(outputs) > 1 else outputs[0]
    return keras.Model(inputs, keras.ops.log(keras.ops.maximum(mean, 1e-30)), name=f"{model.name}_ensemble")
