"""SGD with PyTorch's rules, for which the published recipes were tuned."""

from __future__ import annotations  # its types load no library (pipeline/late.py)

import keras

from models.compute.variables import Tensor


class CoupledSGD(keras.optimizers.Optimizer):
    """v <- momentum v + (g + weight_decay w); w <- w - rate v, for every weight, batch norm's and biases included.

    Two differences from Keras's SGD affect robust accuracy. The decay is part of the gradient, so it passes through the
    momentum (Keras's `weight_decay` is decoupled). The learning rate multiplies the velocity when it is used (Keras:
    when it is accumulated, so that after a drop of the rate the old, larger steps persist). The momentum is a variable,
    like the learning rate, so that both can be set before each step of a compiled update.
    """

    def __init__(
        self, learning_rate: float, *, momentum: float = 0.9, weight_decay: float = 0.0, name: str = "coupled_sgd"
    ) -> None:
        super().__init__(learning_rate, name=name)
        self.coupled_decay = weight_decay
        self._momentum = keras.Variable(momentum, trainable=False, name="momentum")
        self._track_variable(self._momentum)

    @property
    def momentum(self) -> keras.Variable:
        """The fraction of the velocity kept in each step: a variable, to which a number can be assigned."""
        return self._momentum

    @momentum.setter
    def momentum(self, value: float) -> None:
        """Set it, also between two calls of a compiled update."""
        self._momentum.assign(value)

    def build(self, variables: list[keras.Variable]) -> None:
        """Make a velocity for each variable, once, as Keras's optimizers do."""
        if not self.built:
            super().build(variables)
            self.velocities = self.add_optimizer_variables(variables, "velocity")

    def update_step(self, gradient: Tensor, variable: keras.Variable, learning_rate: Tensor) -> None:
        """Update one variable by its gradient; Keras calls it for each variable."""
        velocity = self.velocities[self._get_variable_index(variable)]
        direction = gradient + self.coupled_decay * variable
        direction = keras.ops.cast(self._momentum, variable.dtype) * velocity + direction
        self.assign(velocity, direction)
        self.assign_sub(variable, keras.ops.cast(learning_rate, variable.dtype) * direction)
