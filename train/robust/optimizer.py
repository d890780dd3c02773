"""SGD as PyTorch has it, which is what the published recipes were tuned for."""

import keras


class CoupledSGD(keras.optimizers.SGD):
    """v <- momentum v + (g + weight_decay w); w <- w - rate v, for every weight, batch norm's and biases included.

    Two differences from Keras's SGD that move robust accuracy: the decay is L2 inside the gradient, so that it passes
    through the momentum (Keras's `weight_decay` is decoupled), and the rate multiplies the momentum when it is used
    (Keras's goes into it, so that after a drop of the rate the old, larger steps linger).
    """

    def __init__(self, learning_rate, *, momentum=0.9, weight_decay=0.0, name="coupled_sgd"):
        super().__init__(learning_rate, momentum=momentum, name=name)
        self.coupled_decay = weight_decay

    def update_step(self, gradient, variable, learning_rate):
        moved = gradient + self.coupled_decay * variable
        if self.momentum:
            velocity = self.momentums[self._get_variable_index(variable)]
            moved = self.momentum * velocity + moved
            self.assign(velocity, moved)
        self.assign_sub(variable, keras.ops.cast(learning_rate, variable.dtype) * moved)
