"""Ablation of DARE's choices: one factor is changed at a time, all at one learning rate.

Not in the papers [D]. The base is `variants.DARE` (intersection of the slices, the most confident epoch, after the last
convolution, ten steps of 128) with a learning rate of 1e-4, which destroyed none of our models.
"""

from __future__ import annotations  # its types load no library (pipeline/late.py)

import dataclasses
from collections.abc import Sequence

import keras

from dare import transform, variants

RATE = 1e-4
BASE = dataclasses.replace(variants.DARE, learning_rates=(RATE,))
FACTORS = ("combine", "source", "layer", "learning_rate", "steps")
LEVELS = {  # of every factor but the layer, whose levels depend on the model
    "combine": (None, "union", "majority", "intersection"),
    "source": ("surest", "random", "newest"),
    "learning_rate": (1e-6, 1e-5, 1e-4, 1e-3, 1e-2),
    "steps": (1, 3, 10, 30, 100, 300),
}


def levels(model: keras.Model) -> dict:
    """factor -> the levels that are tried in this model, the published one included."""
    convolutions = [layer.name for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    layers = convolutions[len(convolutions) // 2], transform.regression_layer(model), transform.last_hidden(model)
    return {**LEVELS, "layer": tuple(dict.fromkeys(layers))}


def settings(model: keras.Model, factors: Sequence[str] = FACTORS) -> list[tuple]:
    """(factor, level, variants.Variant) of every run; the published setting first, as factor "published".

    factors: those that are varied, in order.
    """
    published = facts(BASE, transform.regression_layer(model))
    runs = [("published", None, BASE)]
    for factor in factors:
        for level in levels(model)[factor]:
            if level != published[factor]:
                change = {"learning_rates": (level,)} if factor == "learning_rate" else {factor: level}
                runs.append((factor, level, dataclasses.replace(BASE, **change)))
    return runs


def facts(variant: variants.Variant, layer: str) -> dict:
    """factor -> its level in a variant. layer: the layer that targets were mined at."""
    return {
        "combine": variant.combine,
        "source": variant.source,
        "layer": variant.layer or layer,
        "learning_rate": variant.learning_rates[0],
        "steps": variant.steps,
    }
