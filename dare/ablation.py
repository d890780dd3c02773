"""Which of DARE's choices matter: one changed at a time around the published ones, at one learning rate for all.

Not in the papers [D]. The published setting is `variants.DARE` (intersection of the slices, the surest epoch, after the
last convolution, ten steps of 128) with a learning rate of 1e-4, which destroys no model that we met.
"""

import dataclasses

import keras

from dare import transform, variants

RATE = 1e-4
BASE = dataclasses.replace(variants.DARE, learning_rates=(RATE,))
FACTORS = ("combine", "source", "layer", "learning_rate", "steps")
LEVELS = {  # of every factor but the layer, whose levels are the model's own
    "combine": (None, "union", "majority", "intersection"),
    "source": ("surest", "random", "newest"),
    "learning_rate": (1e-6, 1e-5, 1e-4, 1e-3, 1e-2),
    "steps": (1, 3, 10, 30, 100, 300),
}


def levels(model):
    """factor -> the levels that are tried in this model, the published one among them."""
    convolutions = [layer.name for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    layers = convolutions[len(convolutions) // 2], transform.regression_layer(model), transform.last_hidden(model)
    return {**LEVELS, "layer": tuple(dict.fromkeys(layers))}


def settings(model, factors=FACTORS):
    """(factor, level, variants.Variant) of every run; the published setting first, as factor "published"."""
    published = facts(BASE, transform.regression_layer(model))
    made = [("published", None, BASE)]
    for factor in factors:
        for level in levels(model)[factor]:
            if level != published[factor]:
                change = {"learning_rates": (level,)} if factor == "learning_rate" else {factor: level}
                made.append((factor, level, dataclasses.replace(BASE, **change)))
    return made


def facts(variant, layer):
    """The level of every factor in a variant; layer: the one that targets were mined at."""
    return {
        "combine": variant.combine,
        "source": variant.source,
        "layer": variant.layer or layer,
        "learning_rate": variant.learning_rates[0],
        "steps": variant.steps,
    }
