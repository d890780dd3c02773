"""AutoAttack as the adversarial-robustness-toolbox (ART) has it, for those who have installed that: no attack of ours.

Croce and Hein, ICML 2020: APGD on two losses, DeepFool in the place of FAB, and Square, which follows no gradient. It
needs Keras on TensorFlow. Our apgd-ce and apgd-t are stronger than its APGD, which judges last iterates alone; what it
adds is Square.
"""

import dataclasses
import importlib
import types

import keras
import numpy

from adv.attack import Attack
from models import compute


@dataclasses.dataclass(frozen=True, kw_only=True)
class AutoAttack(Attack):
    """ART's AutoAttack in an Linf ball: every image by one attack after the other until one fools it.

    rel_stepsize: first step of APGD as a share of epsilon (Croce and Hein: 2). `check` raises ValueError where ART or
    TensorFlow is missing.
    """

    title = "AutoAttack (ART)"
    citation = "Croce, Hein, ICML 2020"
    norm: str = "linf"
    rel_stepsize: float = 2.0
    seed: int = 0

    @staticmethod
    def check():
        """Raise ValueError where this attack cannot run."""
        if compute.BACKEND != "tensorflow":
            raise ValueError(f"autoattack runs ART on TensorFlow, Keras runs on {compute.BACKEND}: leave it out")
        try:
            importlib.import_module("art.attacks.evasion")
            importlib.import_module("multiprocess")
        except ImportError as error:
            raise ValueError(
                f"autoattack cannot run ({error}): pip install adversarial-robustness-toolbox multiprocess, or leave "
                "autoattack out"
            ) from error

    def within(self, model, images, labels, *, epsilon, batch_size=256):
        """One run at a fixed epsilon: the images that ART returns, float32."""
        self.check()
        import tensorflow
        from art.attacks.evasion import AutoAttack as Theirs
        from art.estimators.classification import TensorFlowV2Classifier

        if not hasattr(tensorflow.keras.losses, "Reduction"):  # gone in Keras 3, and ART reads it
            names = {"NONE": "none", "SUM": "sum", "SUM_OVER_BATCH_SIZE": "sum_over_batch_size"}
            tensorflow.keras.losses.Reduction = types.SimpleNamespace(**names)
        classes = model.output_shape[1]
        classifier = TensorFlowV2Classifier(
            model=model,
            nb_classes=classes,
            input_shape=model.input_shape[1:],
            loss_object=keras.losses.CategoricalCrossentropy(from_logits=True),
            clip_values=(0, 1),
        )
        sizes = {"eps": float(epsilon), "eps_step": float(self.rel_stepsize * epsilon), "batch_size": batch_size}
        before = numpy.random.get_state()  # noqa: NPY002 - ART draws from the global generator
        numpy.random.seed(self.seed)  # noqa: NPY002
        try:
            attack = Theirs(classifier, norm=numpy.inf, **sizes)
            made = attack.generate(images, keras.utils.to_categorical(labels, classes))
        finally:
            numpy.random.set_state(before)  # noqa: NPY002
        low, high = numpy.maximum(images - epsilon, 0), numpy.minimum(images + epsilon, 1)
        return numpy.clip(made, low, high).astype(numpy.float32)  # DeepFool's leave the ball
