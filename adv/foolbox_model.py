"""Run foolbox attacks (3.3.4, its last release) on a Keras model, batch by batch.

foolbox has three traps, which this file avoids: labels must have the dtype of the backend's argmax, images must be
tensors and not NumPy arrays, and the model must return logits (DeepFool and C&W fail silently on a softmax).
Use any foolbox attack on a Keras model with

    images = adv.foolbox_model.run(foolbox.attacks.L2FMNAttack(), model, x, y)

or, in foolbox's own way, on tensors, ``attack(foolbox_model(model), x, y, epsilons=[2 / 255, 8 / 255])``.
"""

from __future__ import annotations

import functools
import typing

import eagerpy
import foolbox
import keras
import numpy

from models import compute, contract, perturb

LABELS = compute.ARGMAX_DTYPE  # foolbox compares labels with an argmax of logits


def foolbox_model(model: keras.Model) -> foolbox.Model:
    """The foolbox model of a Keras model: compiled forward pass, bounds [0, 1], on Keras's backend.

    model: Keras model of float32 images (N, H, W, C) in [0, 1] that returns logits (N, classes).
    Raises ValueError for any other model.
    """
    contract.check_model(model)
    wrap = compute.of_backend(
        tensorflow=functools.partial(foolbox.TensorFlowModel, device=compute.DEVICE), jax=foolbox.JAXModel
    )
    wrapped = wrap(compute.forward(model), bounds=(0, 1))
    wrapped.keras_model = model
    return wrapped


def run(
    attack: foolbox.Attack,
    model: keras.Model,
    images: numpy.ndarray,
    labels: numpy.ndarray,
    *,
    batch_size: int = 256,
    **options: typing.Any,
) -> numpy.ndarray:
    """Run an untargeted foolbox attack batch by batch; returns its images, float32 (N, H, W, C).

    attack: foolbox attack object.
    model: Keras model that returns logits.
    images: (N, H, W, C), uint8 or floats in [0, 1].
    labels: integers (N,).
    batch_size: images attacked together.
    options: for the attack's ``run``, such as ``epsilon=8/255`` for an attack of fixed epsilon.
    foolbox returns failed images too, so check which ones are adversarial.
    Raises ValueError for a model, images or labels that do not belong together.
    """
    images, labels = contract.admit(model, images, labels, batch_size=batch_size)
    wrapped = foolbox_model(model)
    parts = []
    for start in range(0, len(images), batch_size):
        batch = keras.ops.convert_to_tensor(images[start : start + batch_size], "float32")
        classes = keras.ops.convert_to_tensor(labels[start : start + batch_size], LABELS)
        parts.append(numpy.asarray(attack.run(wrapped, batch, foolbox.Misclassification(classes), **options)))
    return numpy.concatenate(parts)


class CompiledLinfPGD(foolbox.attacks.LinfProjectedGradientDescentAttack):
    """foolbox's LinfPGD with all its steps in one compiled graph, for models made by `foolbox_model`.

    Untargeted, without random start, and for pixels in [0, 1]; anything else runs as foolbox's own: another model or
    other bounds, and a subclass or an object with a loss, a step or a projection of its own.
    """

    def run(
        self,
        model: foolbox.Model,
        inputs: compute.Tensor,
        criterion: typing.Any,
        *,
        epsilon: float,
        **options: typing.Any,
    ) -> compute.Tensor:
        """The last iterate, as the parent class returns it. Options are the parent's, which has none.

        model, inputs, criterion, epsilon: as foolbox's attacks take them.
        """
        criterion = foolbox.attacks.base.get_criterion(criterion)
        unmodified = type(self) is CompiledLinfPGD and not any(callable(value) for value in vars(self).values())
        plain = isinstance(criterion, foolbox.Misclassification) and not self.random_start and not options
        if not (unmodified and plain and tuple(model.bounds) == (0, 1) and hasattr(model, "keras_model")):
            return super().run(model, inputs, criterion, epsilon=epsilon, **options)
        x, restore = eagerpy.astensor_(inputs)
        foolbox.attacks.base.verify_input_bounds(x, model)
        step_size = self.rel_stepsize * epsilon if self.abs_stepsize is None else self.abs_stepsize
        sizes = (numpy.full(len(x), size, numpy.float32) for size in (epsilon, step_size))
        final = compute.compiled(model.keras_model, _pgd(self.steps))(x.raw, criterion.labels.raw, *sizes)
        return restore(eagerpy.astensor(final))


@functools.cache
def _pgd(steps):
    def pgd(call, images, labels, epsilon, step_size):
        sizes = {"epsilon": epsilon, "step_size": step_size, "steps": steps}
        return perturb.pgd(call, images, labels, **sizes, loss=perturb.float32_cross_entropy)

    return pgd
