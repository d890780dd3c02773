"""Controls without which Empirical Robustness cannot be read: what plain weight changes and old checkpoints score.

Every control gives a list of weight arrays in the order of ``model.get_weights()``. None is in the papers [D].
"""

import numpy

import data
from models import compute, perturb
from train import batch_norm
from train import fine_tune as tuning

TITLES = {
    "weight-noise": "Gaussian noise of DARE's own size, per layer",
    "logit-noise": "the same noise, scaled to DARE's mean change of logits",
    "tune-clean": "as many training steps on clean x_validation",
    "checkpoint": "one older checkpoint, untouched",
    "swa": "average of the second half of the checkpoints",
}


def weight_noise(original, tuned, *, seed, scale=1.0):
    """`original` plus Gaussian noise on the entries that tuning changed, with each array's norm of that change."""
    generator = numpy.random.default_rng(seed)
    noisy = []
    for before, after in zip(original, tuned, strict=True):
        change = after - before
        noise = generator.standard_normal(before.shape, "float32") * (change != 0)
        size = numpy.linalg.norm(noise)
        factor = scale * numpy.linalg.norm(change) / size if size else 0.0
        noisy.append((before + factor * noise).astype(before.dtype))
    return noisy


def logit_noise(model, original, tuned, x, *, seed, tolerance=0.02):
    """weight_noise scaled until the mean L2 change of logits on the images `x` is that of `tuned`.

    The scale is bisected on a logarithm within [2^-10, 2^10] until the change agrees to the relative `tolerance`.
    `model` lends its architecture and gets its weights back. Raises ArithmeticError where no scale agrees.
    """
    kept = model.get_weights()

    def change(weights):
        model.set_weights(weights)
        logits = compute.predict(compute.forward(model), x, prepare=data.to_unit)
        return float(numpy.linalg.norm(logits - reference, axis=1).mean())

    try:
        model.set_weights(original)
        reference = compute.predict(compute.forward(model), x, prepare=data.to_unit)
        wanted = change(tuned)
        low, high = -10.0, 10.0
        for _ in range(30):
            middle = (low + high) / 2
            noisy = weight_noise(original, tuned, seed=seed, scale=2.0**middle)
            found = change(noisy)
            if abs(found - wanted) <= tolerance * wanted:
                return noisy
            low, high = (middle, high) if found < wanted else (low, middle)
        raise ArithmeticError(
            f"noise changes the logits by {found:.3g}, not by the {wanted:.3g} of tuning, at any scale"
        )
    finally:
        model.set_weights(kept)


def tune_clean(model, x, y, *, steps, batch_size, learning_rate, seed):
    """Continue training on clean images and labels, in place: cross-entropy, dropout off, batch norm frozen."""
    tuning.fine_tune(
        model,
        x,
        y.astype("int32"),
        loss=perturb.cross_entropy,
        steps=steps,
        batch_size=batch_size,
        learning_rate=learning_rate,
        seed=seed,
        training=False,
    )
    return model.get_weights()


def checkpoint(model, history, *, epoch=None):
    """The weights of one older epoch: by default the one at three fifths of the run."""
    history.load_weights(model, epoch or max(1, round(0.6 * history.last)))
    return model.get_weights()


def swa(model, history, x, *, epochs=None):
    """The average of the weights of epochs E/2 .. E, with batch-norm statistics measured anew on the images `x`.

    Raises FileNotFoundError where retention has dropped one of them.
    """
    epochs = [epoch for epoch in history.epochs if 2 * epoch >= history.last] if epochs is None else epochs
    total = None
    for epoch in epochs:
        history.load_weights(model, epoch)
        weights = [numpy.asarray(array, "float64") for array in model.get_weights()]
        total = weights if total is None else [sum_ + array for sum_, array in zip(total, weights, strict=True)]
    before = model.get_weights()
    model.set_weights([(sum_ / len(epochs)).astype(array.dtype) for sum_, array in zip(total, before, strict=True)])
    batch_norm.reestimate(model, x)
    return model.get_weights()
