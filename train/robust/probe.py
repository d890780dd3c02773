"""Measures of a model after each epoch on held-out images, for the guard, the selection and DEAT's analysis."""

from __future__ import annotations

import dataclasses

import keras
import numpy

from models import compute, perturb
from train.history import History
from train.params import check_numbers
from train.robust import perturbation
from train.seeds import stream

STEP = perturb.ascent(perturb.log_odds)
FEW = 26  # correct images: 5 % of 512; a fall to half of this is 2.5 standard deviations


@dataclasses.dataclass(frozen=True, kw_only=True)
class Probe:
    """PGD on held-out images from a uniform start.

    images: their number.
    steps: of PGD.
    share: step size as a fraction of epsilon.
    Raises ValueError for a number out of its range.
    """

    images: int = 512
    steps: int = 10
    share: float = 0.25
    batch_size: int = 256

    def __post_init__(self):
        check_numbers(self, whole=("images", "steps", "batch_size"), sizes=("share",))

    def measure(
        self, model: keras.Model, x: numpy.ndarray, y: numpy.ndarray, *, epsilon: float, scale: numpy.ndarray, seed: int
    ) -> dict[str, float]:
        """Measures of a model in inference mode, a dictionary:

        probe_clean, probe_robust: fraction correct, without and under PGD.
        probe_learnt: 1.0 if probe_clean is more than two standard deviations above the fraction of the most frequent
            class, which a constant net reaches, else 0.0.
        probe_clean_loss, probe_robust_loss: their mean cross-entropy; PGD stops when an image is misclassified.
        probe_magnitude: mean over images of the input gradient's magnitude at PGD's last point.
        probe_lipschitz: mean of ||z(x') - z(x)||_1 / ||x' - x||_inf of logits z (Yang et al., NeurIPS 2020, section 3),
            with x' from PGD on the KL divergence.

        x: float32 images in [0, 1], of which the first `images` are used.
        y: integer labels (N,).
        epsilon: Linf radius.
        scale: (C,), see perturbation.magnitude.
        seed: of the random starts.
        """
        values_of = {name: [] for name in ("clean", "robust", "clean_loss", "robust_loss", "magnitude", "lipschitz")}
        for start in range(0, min(self.images, len(x)), self.batch_size):
            stop = min(start + self.batch_size, self.images, len(x))
            batch = x[start:stop], y[start:stop], epsilon, scale, stream(seed, "probe start", start)
            for name, values in self._batch(model, *batch).items():
                values_of[name].append(numpy.asarray(values, "float64"))
        means = {f"probe_{name}": float(numpy.concatenate(values).mean()) for name, values in values_of.items()}
        return means | {"probe_learnt": float(learnt(means["probe_clean"], y[: self.images]))}

    def _batch(self, model, images, labels, epsilon, scale, generator):
        labels, size = numpy.asarray(labels, "int32"), epsilon * self.share
        begin = perturbation.begin(images, epsilon, "uniform", generator)
        ascend = compute.compiled(model, perturbation.STEPS["kl"])
        constants = images, labels, *(numpy.full(len(images), length, "float32") for length in (epsilon, size))
        settings = {"constants": constants, "until": 1, "leave": (), "batch_size": len(images)}
        current, _ = compute.repeat(model, STEP, (begin, numpy.zeros(len(images), bool)), self.steps, **settings)
        loss, misclassified, magnitude = compute.compiled(model, _judge)(current, labels, scale)
        # PGD on the KL divergence, from the same start.
        log_p, current = compute.compiled(model, perturbation.log_softmax)(images), begin
        for _ in range(self.steps):
            current, _ = ascend(current, images, log_p, epsilon, size, scale)
        return {
            "clean": numpy.argmax(log_p, -1) == labels,
            "robust": numpy.logical_not(misclassified),
            "clean_loss": -numpy.asarray(log_p)[numpy.arange(len(labels)), labels],
            "robust_loss": loss,
            "magnitude": magnitude,
            "lipschitz": compute.compiled(model, _lipschitz)(images, current),
        }


def learnt(clean: float, labels: numpy.ndarray) -> bool:
    """Whether an accuracy is two standard deviations above what the best constant net has on these labels (N,) [D]."""
    share = numpy.unique(labels, return_counts=True)[1].max() / len(labels)
    return clean > share + 2 * numpy.sqrt(share * (1 - share) / len(labels))


def course(history: History) -> dict[int, dict]:
    """The metrics of all recorded epochs of a history: epoch -> dictionary, in order."""
    return {epoch: history.record(epoch)[2] for epoch in history.epochs}


def best(course: dict[int, dict], by: str = "probe_robust") -> int:
    """The epoch with the highest probe measure `by`; of equals that with the higher clean accuracy, then the earliest.

    A constant net is as robust as its class is frequent, which a net that begins to learn is not yet. Therefore epochs
    in which the net has learnt something come first, if there are any (`learnt`) [D].
    course: as returned by `course`; metrics of older histories do not say it, and count as learnt.
    """

    def rank(epoch):
        metrics = course[epoch]
        return metrics.get("probe_learnt", 1.0), metrics[by], metrics["probe_clean"], -epoch

    return max(course, key=rank)


def selected(history: History, by: str = "probe_robust") -> int:
    """The `best` recorded epoch of a history. by: as of `best`."""
    return best(course(history), by)


def fallen(robust: list[float], losses: list[float], guard: float, images: int) -> bool:
    """Whether robust accuracy has collapsed in the newest epoch.

    It has if the newest accuracy is more than `guard` below the best (0.2 in Fast's code). Where accuracies are low, it
    also has if the best epoch has at least FEW correct images, the last two accuracies are below half of the best, and
    the loss is above the best epoch's (it is not when a net predicts a single class) [D].
    robust, losses: robust accuracies and losses of all epochs (epochs,).
    guard: a fraction; 1 turns the check off.
    images: number of probed images.
    """
    best = max(robust)
    risen = losses[-1] > losses[robust.index(best)]
    halved = best * images >= FEW and max(robust[-2:]) < best / 2 and risen
    return guard < 1 and (robust[-1] < best - guard or halved)


def _judge(call, images, labels, scale):
    def attack_loss(x):
        logits = call(x)
        loss = perturb.cross_entropy(logits, labels)
        return loss, (loss, perturb.is_misclassified(logits, labels))

    (_, (loss, misclassified)), gradient = compute.gradient(attack_loss, images)
    return loss, misclassified, keras.ops.sum(keras.ops.abs(gradient) * scale, axis=(1, 2, 3))


def _lipschitz(call, images, moved):
    change = keras.ops.sum(keras.ops.abs(call(moved) - call(images)), axis=-1)
    distance = keras.ops.max(keras.ops.abs(moved - images), axis=(1, 2, 3))
    return change / keras.ops.maximum(distance, 1e-12)
