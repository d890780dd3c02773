"""The only file that imports foolbox (3.3.4, its last release): a Keras model in its terms, and its attacks in ours.

foolbox has three traps, and this file is the way around them: labels must be int64 on TensorFlow, images must be
tensors and not NumPy arrays, and the model must give logits (DeepFool and Carlini-Wagner fail silently on a softmax).
Use any of its attacks on a Keras model with

    images = adv.foolbox_model.run(foolbox.attacks.L2FMNAttack(), model, x, y)
"""

import foolbox
import keras
import numpy

from models import compute

LABELS = "int32" if compute.BACKEND == "jax" else "int64"


def foolbox_model(model):
    """The model as foolbox sees it: compiled forward pass, bounds [0, 1], on the backend that Keras runs.

    model: a Keras model of float32 images (N, H, W, C) in [0, 1] that returns logits (N, classes).
    """
    forward = compute.forward(model)
    if compute.BACKEND == "jax":
        return foolbox.JAXModel(forward, bounds=(0, 1))
    device = "/GPU:0" if compute.ON_ACCELERATOR else "/CPU:0"
    return foolbox.TensorFlowModel(forward, bounds=(0, 1), device=device)


def run(attack, model, images, labels, *, batch_size=256, **options):
    """Run any foolbox attack, untargeted, batch by batch: what its `run` returns, float32 (N, H, W, C).

    attack: a foolbox attack object; model: a Keras model that returns logits; images: float32 (N, H, W, C) in
    [0, 1]; labels: integers (N,); options: passed to the attack's ``run`` (``epsilon=8/255`` for one of fixed size).
    Whether an image is adversarial is the caller's to check: foolbox returns the failed ones too.
    """
    wrapped = foolbox_model(model)
    parts = []
    for start in range(0, len(images), batch_size):
        batch = keras.ops.convert_to_tensor(images[start : start + batch_size], "float32")
        classes = keras.ops.convert_to_tensor(labels[start : start + batch_size], LABELS)
        parts.append(numpy.asarray(attack.run(wrapped, batch, foolbox.Misclassification(classes), **options)))
    return numpy.concatenate(parts) if parts else images.copy()


def deepfool(norm, *, steps, overshoot):
    """foolbox's DeepFool in the norm "l2" or "linf"."""
    attack = {"l2": foolbox.attacks.L2DeepFoolAttack, "linf": foolbox.attacks.LinfDeepFoolAttack}[norm]
    return attack(steps=steps, overshoot=overshoot)
