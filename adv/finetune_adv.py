"""Adversarial fine-tuning, the baseline of DARE's tables: on one attack's images (TOSEM 33(3) 2024, section 4.3)."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import keras

from adv.adversarial_set import Part
from models import contract, perturb
from train import fine_tune as tuning


@dataclasses.dataclass(frozen=True, kw_only=True)
class AdversarialFineTuning:
    """Hyper-parameters of Adam on the cross-entropy of adversarial images with their true labels [P]."""

    learning_rate: float = 1e-4
    epochs: int = 20
    batch_size: int = 32


def finetune_adv(
    model: keras.Model,
    part: Part,
    *,
    settings: AdversarialFineTuning,
    seed: int,
    frozen_below: str | None = None,
    progress: Callable | None = None,
) -> list[float]:
    """Fine-tune `model` in place; returns the mean loss of each step.

    part: adversarial_set.Part.
    settings: AdversarialFineTuning.
    seed: of the batches and of dropout.
    frozen_below: first layer that is tuned (train.params.FIRST_TUNED); None: all layers are.
    progress: as in train.fine_tune.
    Raises ValueError for a model, images or labels that do not belong together, and for no images.
    """
    contract.check(model, part.images, part.labels, batch_size=settings.batch_size)
    with tuning.frozen_below(model, frozen_below):
        return tuning.fine_tune(
            model,
            part.images,
            part.labels.astype("int32"),
            loss=perturb.cross_entropy,
            learning_rate=settings.learning_rate,
            epochs=settings.epochs,
            batch_size=settings.batch_size,
            seed=seed,
            progress=progress,
        )
