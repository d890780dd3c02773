"""Feature-adversarial hardening [D] and its rivals: tune towards mined activations on adversarially perturbed inputs.

G is the model up to the regression layer R, and T_i the mined activation of sample i. A few sign-gradient steps from a
random start maximise ||G(x') - T_i||^2 over x' in the Linf ball around x_i and in [0, 1]; then one step of Adam
minimises mean_i ||G(x'_i) - T_i||^2. This is in no paper. `STRATEGIES`: the method and its rivals, as data. `harden`:
the one training loop of all. They are compared at equal `bp_epochs` and by the relative change of `weights`.

Differences of the rivals from their papers, the same for all, since they continue one trained model:
  D1 [D] Adam at a constant rate; batch-norm statistics frozen, dropout off, no weight decay; every layer is tuned.
  D2 [D] every perturbation starts at a uniform point of the ball (TRADES: Gaussian noise of .001) and takes the study's
     number of steps, each of 2.5 epsilon / steps (Madry et al. 2018); FGSM one step of 1.25 epsilon (Wong et al. 2020).
"""

from __future__ import annotations  # its types load no library (pipeline/late.py)

import dataclasses
import functools
import math
from collections.abc import Callable, Iterator, Sequence

import keras
import numpy

import data
from dare import dare, transform
from models import compute, perturb, updates
from models.compute.variables import Tensor
from train.diverged import Diverged
from train.robust import losses, perturbation
from train.seeds import stream


def soft_cross_entropy(logits: Tensor, probabilities: Tensor) -> Tensor:
    """Cross-entropy of softmax(logits) with target probabilities: (N, K), (N, K) -> (N,)."""
    return perturb.soft_cross_entropy(logits, keras.ops.log(probabilities))


@functools.cache
def trades(beta: float) -> Callable:
    """TRADES (Zhang et al. 2019, equation 5): cross-entropy on x plus beta KL(p(x) || p(x')).

    beta: weight of the divergence.
    Returns loss(logits (2N, K) of the images and then of their perturbations, integer labels (N,)) -> (N,).
    """

    def loss(logits, labels):
        clean, adversarial = keras.ops.split(logits, 2)
        return losses.trades(clean, adversarial, labels, beta=beta)

    return loss


@dataclasses.dataclass(frozen=True, kw_only=True)
class Strategy:
    """One way to harden a trained model.

    citation: None [D].
    targets: a name of hardening_targets.TARGETS.
    through: "regression" tunes G, "classifier" the whole net.
    loss: (outputs, targets) -> (N,), minimised over the weights.
    attack_loss: (outputs, targets) -> (N,), maximised over the perturbation (None: inputs stay clean).
    paired: for TRADES. The targets of `attack_loss` are the log-softmax of the clean images, and `loss` gets the
        outputs of the clean images followed by those of the perturbed ones.
    steps: of the perturbation (None: the study's number).
    step_size: of the perturbation, as a fraction of epsilon (None: 2.5 / steps).
    """

    title: str
    citation: str | None = None
    targets: str
    through: str = "classifier"
    loss: Callable
    attack_loss: Callable | None = None
    paired: bool = False
    steps: int | None = None
    step_size: float | None = None

    def perturbation(self, steps: int) -> tuple[int, float]:
        """(number of steps, step size as a fraction of epsilon); steps: the study's number."""
        count = 0 if self.attack_loss is None else self.steps or steps
        return count, self.step_size or 2.5 / max(count, 1)

    def passes(self, steps: int) -> float:
        """Forward/backward passes per sample and update.

        One for each step of the perturbation and one for the weights; a paired strategy takes two for the weights, and
        half a pass, forward only, for the log-softmax of the clean images [D]. A pass through G counts as one through
        the net [D].
        """
        return self.perturbation(steps)[0] + (2.5 if self.paired else 1)


def _regression(title, targets, attack_loss=dare.squared_error, **source):
    loss = dare.squared_error
    return Strategy(title=title, targets=targets, through="regression", loss=loss, attack_loss=attack_loss, **source)


def _labels(title, citation, loss=perturb.cross_entropy, attack_loss=perturb.log_odds, **settings):
    return Strategy(title=title, citation=citation, targets="labels", loss=loss, attack_loss=attack_loss, **settings)


def _softmax(title, targets):
    return Strategy(title=title, targets=targets, loss=soft_cross_entropy, attack_loss=soft_cross_entropy)


def _trades(beta):
    citation = "Zhang, Yu, Jiao, Xing, El Ghaoui, Jordan, ICML 2019"
    return _labels(f"TRADES, beta {beta:g}", citation, trades(beta), perturb.soft_cross_entropy, paired=True)


STRATEGIES = {
    "feature-adversarial": _regression("perturbed inputs, mined activations", "mined"),
    "feature-adversarial-own": _regression("perturbed inputs, the model's own activations", "own"),
    "regression": _regression("clean inputs, mined activations (DARE)", "mined", None, citation="DARE, ASE 2022"),
    "fgsm-training": _labels("FGSM training", "Wong, Rice, Kolter, ICLR 2020", steps=1, step_size=1.25),
    "pgd-training": _labels("PGD training", "Madry, Makelov, Schmidt, Tsipras, Vladu, ICLR 2018"),
    "soft-chosen": _softmax("perturbed inputs, softmax of the chosen epoch", "chosen-softmax"),
    "soft-average": _softmax("perturbed inputs, softmax averaged over the history", "average-softmax"),
    "trades-6": _trades(6.0),
    "trades-1": _trades(1.0),
}


def harden(
    model: keras.Model,
    x: numpy.ndarray,
    targets: numpy.ndarray,
    strategy: Strategy,
    *,
    layer: str | None = None,
    epsilon: float,
    steps: int = 3,
    learning_rate: float,
    batch_size: int = 128,
    stops: Sequence[int],
    seed: int = 0,
) -> Iterator[tuple[int, float]]:
    """Tune `model` in place by one Strategy; yields (number of updates, mean loss) at each of `stops`.

    x: samples (N, H, W, C), uint8 or float32 in [0, 1].
    targets: (N, ...), of hardening_targets.TARGETS.
    layer: R (default: transform.regression_layer).
    epsilon: Linf radius in [0, 1] pixel scale.
    steps: of the perturbation, where the strategy does not set them.
    learning_rate: of Adam, the same at every update.
    batch_size: samples of an update.
    stops: ascending numbers of updates. Between two stops the model may be measured, but not changed.
    seed: of the batches and of the perturbations' random starts.
    An update is one batch; batches are cut from a sequence of permutations of the samples.
    Raises ValueError for bad arguments, and Diverged where the loss is not finite.
    """
    _check(x, targets, epsilon, steps, learning_rate, batch_size, stops)

    # The net that is tuned, its perturbation and its update, compiled once.
    net = transform.transform(model, layer) if strategy.through == "regression" else model
    count, size = strategy.perturbation(steps)
    perturbed = compute.compiled(net, ascent(strategy.attack_loss, count, strategy.paired))
    optimizer = keras.optimizers.Adam(learning_rate)
    update = updates.supervised_step(net, optimizer, strategy.loss, training=False, regularise=False)
    noise = stream(seed, "starts of hardening")

    # Each batch: perturb the inputs, then update the weights.
    radius, step_size = numpy.float32(epsilon), numpy.float32(size * epsilon)
    for number, rows in enumerate(_batches(len(x), min(batch_size, len(x)), max(stops), seed), 1):
        inputs, batch_targets = data.to_unit(x[rows]), targets[rows]
        if count:
            start = perturbation.begin(inputs, radius, "uniform", noise)
            adversarial = perturbed(inputs, start, batch_targets, radius, step_size)
            inputs = keras.ops.concatenate([inputs, adversarial]) if strategy.paired else adversarial
        loss = float(update(inputs, batch_targets)[0])
        if not numpy.isfinite(loss):
            raise Diverged(f"the loss became {loss} at update {number}: use a rate below {learning_rate}")
        if number in stops:
            yield number, loss


@functools.cache
def ascent(attack_loss: Callable, steps: int, paired: bool = False) -> Callable:
    """A function ``run(call, images, start, targets, epsilon, step_size)`` -> perturbed images.

    attack_loss: ``attack_loss(outputs, targets)`` -> (N,).
    `steps` sign-gradient steps from `start` increase the attack loss, each projected into the ball and [0, 1];
    paired: see Strategy.
    """

    def run(call, images, start, targets, epsilon, step_size):
        if paired:
            targets = keras.ops.log_softmax(call(images))
        current, sizes = start, {"epsilon": epsilon, "step_size": step_size}
        for _ in range(steps):  # unrolled: on a CPU some of TensorFlow's compiled loops are 1.4 times slower
            current = perturb.ascent_step(call, current, images, targets, **sizes, loss=attack_loss)[0]
        return current

    return run


def bp_epochs(updates: int, *, passes: float, batch_size: int, samples: int) -> float:
    """Training effort in BP-epochs: one is a forward and backward pass over all samples.

    passes: per sample and update (Strategy.passes).
    batch_size: samples of an update; samples: their number.
    """
    return updates * passes * min(batch_size, samples) / samples


def updates_for(epochs: float, *, passes: float, batch_size: int, samples: int) -> int:
    """The fewest updates that take at least so many BP-epochs. Arguments as of bp_epochs."""
    return math.ceil(epochs * samples / (passes * min(batch_size, samples)) - 1e-9)


def weights(net: keras.Model) -> list[numpy.ndarray]:
    """Copies of a net's trainable weights (kernels, biases, batch-norm scale and offset)."""
    return [numpy.array(keras.ops.convert_to_numpy(variable)) for variable in net.trainable_variables]


def _batches(count, batch_size, updates, seed):
    """Yield the rows of each update: batches of one size, cut from a sequence of permutations of all samples."""
    rows, epoch = numpy.zeros(0, "int64"), 0
    for _ in range(updates):
        if len(rows) < batch_size:
            rows = numpy.concatenate([rows, stream(seed, "order of tuning", epoch).permutation(count)])
            epoch += 1
        yield rows[:batch_size]
        rows = rows[batch_size:]


def _check(x, targets, epsilon, steps, learning_rate, batch_size, stops):
    """Raise ValueError for arguments that `harden` does not admit."""
    if not len(x) or len(x) != len(targets):
        raise ValueError(f"{len(x)} samples but {len(targets)} targets; expected one each, and at least one")
    if not (0 <= epsilon <= 1 and learning_rate > 0 and numpy.isfinite(learning_rate) and min(steps, batch_size) >= 1):
        raise ValueError(
            f"epsilon={epsilon}, learning_rate={learning_rate}, steps={steps}, batch_size={batch_size}: expected "
            "epsilon in [0, 1], a finite rate above 0, and at least 1 of the others"
        )
    if not stops or list(stops) != sorted(set(stops)) or stops[0] < 1:
        raise ValueError(f"stops are {stops}, expected ascending numbers of updates of at least 1")
