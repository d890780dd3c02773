"""All randomness from seeds: independent streams by purpose, initial weights and dropout."""

from __future__ import annotations

import hashlib
import json
import numbers

import keras
import numpy


def stream(seed: int, purpose: str, *counters: int) -> numpy.random.Generator:
    """The random generator of a purpose: equal for equal arguments, independent for different arguments.

    seed: a whole number.
    purpose: what is drawn, in words.
    counters: whole numbers, such as an epoch or a restart.
    All are hashed together, since numpy gives [5, 0] and [5] the same stream. (The splits of `data` use their seed
    directly.)
    Raises ValueError for a seed that is no whole number.
    """
    text = json.dumps([purpose, whole(seed), *map(int, counters)])
    return numpy.random.default_rng(int.from_bytes(hashlib.sha256(text.encode()).digest(), "little"))


def whole(seed: int) -> int:
    """The seed as an int. Raises ValueError if it is no whole number, such as None, which would be chance."""
    if not isinstance(seed, numbers.Integral):
        raise ValueError(f"seed is {seed!r}, expected a whole number")
    return int(seed)


def of_repeat(seed: int, repeat: int) -> int:
    """The seed of a repeat of what is drawn under a seed: other repeats have others. Fewer than 1,000 repeats."""
    return 1000 * whole(seed) + repeat


def seed_dropout(model: keras.Model, generator: numpy.random.Generator) -> None:
    """Seed every random layer of `model` from a generator."""
    for layer in model.layers:
        if isinstance(getattr(layer, "seed_generator", None), keras.random.SeedGenerator):
            layer.seed_generator.state.assign(generator.integers(2**31, size=2, dtype="uint32"))


def seed_weights(seed: int) -> None:
    """Seed the initial weights of the next model: Keras's global generator, which takes 32 bits."""
    keras.utils.set_random_seed(seed % 2**32)
