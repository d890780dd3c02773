"""YOPO-m-n: m full passes for each batch, and for each pass n steps of the images through the first layer only."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import keras
import numpy

from models import compute, perturb, updates
from train.robust import adversarial, perturbation


@dataclasses.dataclass(frozen=True, kw_only=True)
class Yopo:
    """You Only Propagate Once (Zhang et al., NeurIPS 2019, algorithm 1).

    The net is f = g(f0(x)), where f0 ends with the first convolution or dense layer; H = <p, f0(x + eta)>. Each of m
    rounds takes p = -dL / d f0 from a full backward pass, then n steps of eta against the sign of dH / d eta. A single
    step of the weights follows the sum of the gradients of all rounds, and of -H by the weights of f0 at the last eta
    of each round. The controller's steps are m. Passes through f0 alone are not counted as cost [D].
    inner: n.
    start, clip_start: of eta; not clipped, as in the authors' code, which clips only the inputs of the inner steps [P].
    step: sigma as a fraction of epsilon.
    """

    inner: int
    start: str = "uniform"
    clip_start: bool = False
    step: perturbation.StepSize

    def batch(
        self,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        *,
        epsilon: float,
        scale: numpy.ndarray,
        measure: bool = False,
        count: int = 0,
    ) -> Callable:
        """As adversarial.Adversarial.batch; `steps` are the rounds m, at least 1."""
        if measure:
            raise ValueError("YOPO measures no gradient magnitude: give it another controller")
        first, tapped = split(model)
        backward = updates.gradients(tapped, _objective, follow=_costate)
        hamiltonian = updates.gradients(first, _hamiltonian)
        ascend = compute.compiled(first, _ascend)
        apply = updates.apply(optimizer, model.trainable_variables)
        places = {variable.path: place for place, variable in enumerate(model.trainable_variables)}
        where, tail = ([places[variable.path] for variable in part.trainable_variables] for part in (tapped, first))
        size = numpy.float32(epsilon * self.step.share)

        def run(images, labels, steps, generator, carried=None, progress=0.0, rows=None):
            if steps < 1:
                raise ValueError(f"{steps} rounds of a batch; expected at least 1: start the controller there")
            current = perturbation.begin(images, epsilon, self.start, generator, clip=self.clip_start)
            tap = numpy.zeros((len(images), *first.output_shape[1:]), "float32")
            total = [0.0] * len(places)
            for _ in range(steps):
                gradients, loss, correct, costate = backward(tap, current, labels)
                for place, gradient in zip(where, gradients, strict=True):
                    total[place] = total[place] + gradient
                for _ in range(self.inner):
                    current = ascend(current, images, costate, numpy.float32(epsilon), size)
                gradients, *_ = hamiltonian(current, costate)
                for place, gradient in zip(tail, gradients, strict=True):
                    total[place] = total[place] + gradient
            apply(*total)
            return adversarial.Outcome(loss, correct, 0.0, float(steps))

        return run


def split(model: keras.Model) -> tuple[keras.Model, keras.Model]:
    """(f0, the model with a tap), both with the model's own weights.

    f0 ends with the first layer that has a kernel. The tap, the first input of the second model, is added to the output
    of f0, so that the gradient by the tap is the gradient by f0.
    """
    layer = next(layer for layer in model.layers if getattr(layer, "kernel", None) is not None)
    first = keras.Model(model.input, layer.output, name="first")
    remainder = keras.Model(layer.output, model.output, name="rest")
    tap = keras.Input(layer.output.shape[1:], name="tap")
    tapped = keras.Model([tap, model.input], remainder(first(model.input) + tap), name="tapped")
    return first, tapped


def _objective(call, tap, current, labels):
    return adversarial.cross_entropy(lambda tap: call([tap, current]), tap, None, labels, None)


def _costate(tap, gradient, current, labels):
    return -gradient


def _hamiltonian(call, current, costate):
    """-H of each image, times the batch size: updates.gradients averages, but p is from the mean loss already."""
    return -_inner(call, current, costate) * keras.ops.cast(keras.ops.shape(current)[0], "float32"), ()


def _ascend(call, current, images, costate, epsilon, step_size):
    def inner(x):
        return _inner(call, keras.ops.clip(x, 0.0, 1.0), costate), ()

    (_, _), gradient = compute.gradient(inner, current, call)
    return perturb.move(current, images, -gradient, epsilon, step_size)


def _inner(call, current, costate):
    product = costate * keras.ops.cast(call(current), "float32")
    return keras.ops.sum(keras.ops.reshape(product, (keras.ops.shape(current)[0], -1)), axis=-1)
