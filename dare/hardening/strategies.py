"""Feature-adversarial hardening [D]: towards the mined activations, on inputs moved away from them; and its rivals.

With G the model up to the regression layer R and T_i the mined activation of sample i, find x'_i in the Linf ball
around x_i (and in [0, 1]) by a few sign-gradient steps up ||G(x') - T_i||^2 from a random start, then take an Adam step
down mean_i ||G(x'_i) - T_i||^2. No paper has it. `STRATEGIES` are that and what it has to beat, as data; `harden` is
their one loop; `bp_epochs` and the relative change of `weights` are what they are compared at.

Differences of the rivals from their papers, the same for all, since they continue one trained model:
  D1 [D] Adam at a constant rate; batch-norm statistics frozen, dropout off, no weight decay; every layer is tuned.
  D2 [D] every perturbation starts at a uniform point of the ball (TRADES' own: Gaussian noise of .001) and takes the
     study's number of steps, each 2.5 epsilon / steps (Madry et al. 2018); FGSM one of 1.25 epsilon (Wong et al. 2020).
"""

import dataclasses
import functools
import math
from collections.abc import Callable

import keras
import numpy

import data
from dare import dare, transform
from models import compute, perturb, updates
from train.robust import losses, perturbation
from train.seeds import stream


def soft_cross_entropy(logits, probabilities):
    """Cross-entropy of the softmax with target distributions: (N, K), (N, K) -> (N,)."""
    return perturb.soft_cross_entropy(logits, keras.ops.log(probabilities))


@functools.cache
def trades(beta):
    """TRADES (Zhang et al. 2019, equation 5): cross-entropy on x plus beta KL(p(x) || p(x')).

    Returns loss(logits (2N, K) of the images and then of their perturbations, integer labels (N,)) -> (N,).
    """

    def loss(logits, labels):
        clean, adversarial = keras.ops.split(logits, 2)
        return losses.trades(clean, adversarial, labels, beta=beta)

    return loss


@dataclasses.dataclass(frozen=True, kw_only=True)
class Strategy:
    """One way to harden a trained model.

    targets: what is learnt, a name of hardening_targets.TARGETS; through: "regression" tunes G, "classifier" the whole
    net; loss: of outputs and targets, what the weights descend; attack_loss: of the perturbation (None: inputs stay
    clean); paired, for TRADES: the perturbation ascends from the log-softmax of the clean images, not from the
    targets, and `loss` gets the outputs of the clean images and then of the perturbed ones; steps, step_size: of the
    perturbation, as a share of epsilon (None: as many as the study takes, of 2.5 / steps). citation: None [D].
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

    def perturbation(self, steps):
        """(number of steps, step size as a share of epsilon) where the study takes `steps`."""
        count = 0 if self.attack_loss is None else self.steps or steps
        return count, self.step_size or 2.5 / max(count, 1)

    def passes(self, steps):
        """Forward and backward passes a sample and update: one a step of the perturbation and one for the weights, of
        a pair two and half a one, the forward pass of the clean images that the perturbation is measured from [D].
        A pass through G counts as one through the net [D]."""
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


def harden(model, x, targets, strategy, *, layer=None, epsilon, steps=3, learning_rate, batch_size=128, stops, seed=0):
    """Tune `model` in place by one Strategy; a generator that yields (updates so far, mean loss) at each of `stops`.

    x: samples (N, H, W, C), uint8 or float32 in [0, 1]; targets: (N, ...), as hardening_targets.TARGETS make them;
    layer: R (default: transform.regression_layer); epsilon: Linf radius in [0, 1] pixel scale; steps: of the
    perturbation, where the strategy leaves them open; stops: ascending numbers of updates. An update is one batch, cut
    from permutations of the samples put end to end. Between two stops the model may be measured, not changed.
    Raises ValueError for bad arguments, and ArithmeticError where the loss is not finite.
    """
    _check(x, targets, epsilon, steps, learning_rate, batch_size, stops)
    net = transform.transform(model, layer) if strategy.through == "regression" else model
    count, size = strategy.perturbation(steps)
    perturbed = compute.compiled(net, ascent(strategy.attack_loss, count, strategy.paired))
    optimizer = keras.optimizers.Adam(learning_rate)
    update = updates.supervised_step(net, optimizer, strategy.loss, training=False, regularise=False)
    noise = stream(seed, "starts of hardening")
    radius, step_size = numpy.float32(epsilon), numpy.float32(size * epsilon)
    for done, rows in enumerate(_batches(len(x), min(batch_size, len(x)), max(stops), seed), 1):
        inputs, wanted = data.to_unit(x[rows]), targets[rows]
        if count:
            moved = perturbed(inputs, perturbation.begin(inputs, radius, "uniform", noise), wanted, radius, step_size)
            inputs = keras.ops.concatenate([inputs, moved]) if strategy.paired else moved
        loss = float(update(inputs, wanted)[0])
        if not numpy.isfinite(loss):
            raise ArithmeticError(f"the loss became {loss} at update {done}: use a rate below {learning_rate}")
        if done in stops:
            yield done, loss


@functools.cache
def ascent(attack_loss, steps, paired=False):
    """``run(call, images, start, targets, epsilon, step_size)`` -> images after `steps` sign-gradient steps up the
    attack loss from `start`, each projected into the ball and [0, 1]; paired: see Strategy."""

    def run(call, images, start, targets, epsilon, step_size):
        if paired:
            targets = keras.ops.log_softmax(call(images))
        current, sizes = start, {"epsilon": epsilon, "step_size": step_size}
        for _ in range(steps):  # unrolled: on a CPU some of TensorFlow's compiled loops are 1.4 times slower
            current = perturb.ascent_step(call, current, images, targets, **sizes, loss=attack_loss)[0]
        return current

    return run


def bp_epochs(updates, *, passes, batch_size, samples):
    """Training effort in BP-epochs, one being a forward and backward pass over all samples."""
    return updates * passes * min(batch_size, samples) / samples


def updates_for(epochs, *, passes, batch_size, samples):
    """The fewest updates that take at least so many BP-epochs."""
    return math.ceil(epochs * samples / (passes * min(batch_size, samples)) - 1e-9)


def weights(net):
    """Copies of a net's trainable weights (kernels, biases, batch-norm scale and offset)."""
    return [numpy.array(keras.ops.convert_to_numpy(variable)) for variable in net.trainable_variables]


def _batches(count, batch_size, updates, seed):
    """Rows of each update: permutations of all samples, end to end, cut into batches of one size."""
    rows, epoch = numpy.zeros(0, "int64"), 0
    for _ in range(updates):
        if len(rows) < batch_size:
            rows = numpy.concatenate([rows, stream(seed, "order of tuning", epoch).permutation(count)])
            epoch += 1
        yield rows[:batch_size]
        rows = rows[batch_size:]


def _check(x, targets, epsilon, steps, learning_rate, batch_size, stops):
    if not len(x) or len(x) != len(targets):
        raise ValueError(f"{len(x)} samples but {len(targets)} targets; expected one each, and at least one")
    if not (0 <= epsilon <= 1 and learning_rate > 0 and numpy.isfinite(learning_rate) and min(steps, batch_size) >= 1):
        raise ValueError(
            f"epsilon={epsilon}, learning_rate={learning_rate}, steps={steps}, batch_size={batch_size}: expected "
            "epsilon in [0, 1], a finite rate above 0, and at least 1 of the others"
        )
    if not stops or list(stops) != sorted(set(stops)) or stops[0] < 1:
        raise ValueError(f"stops are {stops}, expected ascending numbers of updates of at least 1")
