"""What is measured of a model after each epoch, on held-out images: the guard, the selection and DEAT's quantities."""

import dataclasses

import keras
import numpy

from models import compute, perturb
from train.robust import perturbation
from train.seeds import stream

STEP = perturb.ascent(perturb.log_odds)
FEW = 26  # 5 % of 512; half of so many is 2.5 standard deviations off


@dataclasses.dataclass(frozen=True, kw_only=True)
class Probe:
    """PGD on held-out images: `images` of them, `steps` steps of `share` of epsilon from a uniform start."""

    images: int = 512
    steps: int = 10
    share: float = 0.25
    batch_size: int = 256

    def measure(self, model, x, y, *, epsilon, scale, seed):
        """Of a model in inference mode, as a dictionary:

        probe_clean, probe_robust: fractions of correct images, without and under PGD; probe_clean_loss,
        probe_robust_loss: their mean cross-entropy, PGD ended where it fooled; probe_magnitude: the
        mean over images of the input gradient's magnitude at PGD's last point; probe_lipschitz: the mean of
        ||z(x') - z(x)||_1 / ||x' - x||_inf of logits z (Yang et al., NeurIPS 2020, section 3), x' by PGD up the KL
        divergence from x.
        x: float32 images in [0, 1], the first `images` of them are used; scale: (C,), see perturbation.magnitude.
        """
        found = {name: [] for name in ("clean", "robust", "clean_loss", "robust_loss", "magnitude", "lipschitz")}
        for start in range(0, min(self.images, len(x)), self.batch_size):
            stop = min(start + self.batch_size, self.images, len(x))
            batch = x[start:stop], y[start:stop], epsilon, scale, stream(seed, "probe start", start)
            for name, values in self._batch(model, *batch).items():
                found[name].append(numpy.asarray(values, "float64"))
        return {f"probe_{name}": float(numpy.concatenate(values).mean()) for name, values in found.items()}

    def _batch(self, model, images, labels, epsilon, scale, generator):
        labels, size = numpy.asarray(labels, "int32"), epsilon * self.share
        begin = perturbation.begin(images, epsilon, "uniform", generator)
        ascend = compute.compiled(model, perturbation.STEPS["kl"])
        constants = images, labels, *(numpy.full(len(images), each, "float32") for each in (epsilon, size))
        settings = {"constants": constants, "until": 1, "leave": (), "batch_size": len(images)}
        current, _ = compute.repeat(model, STEP, (begin, numpy.zeros(len(images), bool)), self.steps, **settings)
        loss, misclassified, magnitude = compute.compiled(model, _judge)(current, labels, scale)
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


def course(history):
    """The metrics of every recorded epoch: epoch -> dictionary, in order."""
    return {epoch: history.record(epoch)[2] for epoch in history.epochs}


def best(course, by="probe_robust"):
    """The epoch of a course with the highest accuracy `by` on the held-out images; of equals the one with the higher
    clean accuracy, then the earliest."""
    return max(course, key=lambda epoch: (course[epoch][by], course[epoch]["probe_clean"], -epoch))


def selected(history, by="probe_robust"):
    """The `best` recorded epoch of a history."""
    return best(course(history), by)


def fallen(robust, losses, guard, images):
    """Whether robustness is lost with the newest of the epochs' robust accuracies and losses, (epochs,) each.

    Its accuracy, a share of `images`, is more than `guard` below the best (Fast's authors wait for 0.2). Or, since a
    low best leaves no room for that, it and the one before are below half of a best of FEW images at least, and its
    loss is above the best epoch's, as it is not where a net leaves a constant answer [D]. A guard of 1 never says so.
    """
    best = max(robust)
    worse = losses[-1] > losses[robust.index(best)]
    halved = best * images >= FEW and max(robust[-2:]) < best / 2 and worse
    return guard < 1 and (robust[-1] < best - guard or halved)


def _judge(call, images, labels, scale):
    def judged(x):
        logits = call(x)
        loss = perturb.cross_entropy(logits, labels)
        return loss, (loss, perturb.is_misclassified(logits, labels))

    (_, (loss, misclassified)), gradient = compute.gradient(judged, images)
    return loss, misclassified, keras.ops.sum(keras.ops.abs(gradient) * scale, axis=(1, 2, 3))


def _lipschitz(call, images, moved):
    change = keras.ops.sum(keras.ops.abs(call(moved) - call(images)), axis=-1)
    distance = keras.ops.max(keras.ops.abs(moved - images), axis=(1, 2, 3))
    return change / keras.ops.maximum(distance, 1e-12)
