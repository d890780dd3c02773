"""All randomness from seeds: one stream a purpose, initial weights and dropout, whatever ran before."""

import hashlib
import json

import keras
import numpy


def stream(seed, purpose, *counters):
    """The numpy.random.Generator of one purpose: the same for the same arguments, independent for any others.

    seed: a whole number; purpose: what is drawn, in words; counters: whole numbers, as of an epoch or a restart. They
    are hashed together, since numpy seeds [5, 0] and [5] alike, and so do two purposes that share a number. The
    splits of `data` are drawn from their seed alone.
    """
    text = json.dumps([purpose, *map(int, (seed, *counters))])
    return numpy.random.default_rng(int.from_bytes(hashlib.sha256(text.encode()).digest(), "little"))


def seed_dropout(model, generator):
    """Set the state of every random layer of `model` from a numpy.random.Generator."""
    for layer in model.layers:
        if isinstance(getattr(layer, "seed_generator", None), keras.random.SeedGenerator):
            layer.seed_generator.state.assign(generator.integers(2**31, size=2, dtype="uint32"))


def seed_weights(seed):
    """Seed what draws the initial weights of the next model: Keras's global generator."""
    keras.utils.set_random_seed(seed)
