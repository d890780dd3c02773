"""Initial weights and dropout seeded, so that a training depends on its seed and not on what ran before it."""

import keras


def seed_dropout(model, generator):
    """Set the state of every random layer of `model` from a numpy.random.Generator."""
    for layer in model.layers:
        if isinstance(getattr(layer, "seed_generator", None), keras.random.SeedGenerator):
            layer.seed_generator.state.assign(generator.integers(2**31, size=2, dtype="uint32"))


def seed_weights(seed):
    """Seed what draws the initial weights of the next model: Keras's global generator."""
    keras.utils.set_random_seed(seed)
