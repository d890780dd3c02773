"""The baselines of DARE's tables: fine-tune the original on one attack's adversarial images (TOSEM 33(3) 2024, 4.3)."""

import dataclasses

from models import perturb
from train import fine_tune as tuning


@dataclasses.dataclass(frozen=True, kw_only=True)
class AdversarialFineTuning:
    """Adam on cross-entropy of the adversarial images with their true labels [P]."""

    learning_rate: float = 1e-4
    epochs: int = 20
    batch_size: int = 32


def finetune_adv(model, part, *, settings, seed, frozen_below=None, progress=None):
    """Tune `model` in place on an adversarial_set.Part; layers before `frozen_below` stay (train.params.FIRST_TUNED).

    Returns the mean loss of each step.
    """
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
