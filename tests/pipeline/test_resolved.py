"""Catalogue entries as JSON values: the parts that count, and how a difference is named."""

import dataclasses
import functools
import json
import math

import numpy
import pytest

from adv import attacks, probes
from adv.guided import configuration, inputs, ordering
from dare import controls, variants
from dare.hardening import strategies
from pipeline.resolved import difference, resolved
from train import params, robust


@dataclasses.dataclass(frozen=True)
class Entry:
    title: str = "a title"
    steps: int = 3
    rule: object = None


def function(images, *, share=0.5, steps=(1, 2)):
    return images


def multiplier(factor):
    return lambda images: factor * images + 2


CATALOGUES = {
    "attacks": attacks.ATTACKS,
    "probes": probes.PROBES,
    "recipes": params.RECIPES,
    "variants": variants.VARIANTS,
    "controls": controls.CONTROLS,
    "strategies": strategies.STRATEGIES,
    "methods": robust.METHODS,
    "set-ups": robust.SETUPS,
    "metrics": ordering.METRICS,
    "configurations": configuration.CONFIGURATIONS,
    "profiles": inputs.PROFILES,
}


@pytest.mark.parametrize("name", CATALOGUES)
def test_every_catalogue_is_json_and_every_two_entries_differ(name):
    entries = {key: resolved(entry) for key, entry in CATALOGUES[name].items()}
    assert json.loads(json.dumps(entries, allow_nan=False)) == entries
    assert resolved(CATALOGUES[name]) == entries, "the same again"
    texts = [json.dumps(value, sort_keys=True) for value in entries.values()]
    same = {"recipes": 1}.get(name, 0)  # both VGG nets have one
    assert len(set(texts)) == len(texts) - same


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (Entry(), Entry(title="another"), None),
        (Entry(), Entry(steps=4), "x: steps 3, not 4"),
        (Entry(rule=Entry()), Entry(rule=Entry(steps=5)), "x: rule steps 3, not 5"),
        ({"a": Entry()}, {"a": Entry(), "b": 1}, "x: b None, not 1"),
        (None, ("conv1",), "x: None, not ['conv1']"),
        (0.1, numpy.float64(0.1), None),
        (numpy.arange(3), [0, 1, 2], "not [0, 1, 2]"),
        (math.inf, math.nan, "x: 'inf', not 'nan'"),
        (functools.partial(function, share=0.1), functools.partial(function, share=0.2), "x: share 0.1, not 0.2"),
        (functools.partial(function, 1), functools.partial(function, 2), "x: arguments [1], not [2]"),
        (multiplier(2), multiplier(3), "x: factor 2, not 3"),
        (lambda images: 2 * images, lambda images: 3 * images, "x: constants [2], not [3]"),
        (lambda context: context.a, lambda context: context.b, "x: reads ['a'], not ['b']"),
        (lambda context: context.a, lambda context: context.a, None),
        (function, multiplier, "test_resolved.function', not"),
        (Entry(rule=function), Entry(rule=lambda images, *, share=0.5, steps=(1, 2): images), "x: rule constants None"),
        (attacks.PGD(steps=10), attacks.PGD(steps=20), "x: steps 10, not 20"),
    ],
)
def test_a_difference_is_named_with_both_values(old, new, message):
    sentence = difference({"x": resolved(old)}, {"x": resolved(new)})
    assert sentence is None if message is None else message in sentence


def test_a_default_of_a_function_and_of_one_that_it_encloses_counts(monkeypatch):
    before = {"metric": resolved(ordering.METRICS["lsa"]), "function": resolved(function)}
    monkeypatch.setitem(function.__kwdefaults__, "share", 0.25)
    assert difference(before, before | {"function": resolved(function)}) == "function: share 0.5, not 0.25"
    monkeypatch.setitem(ordering.surprise.lsa.__kwdefaults__, "variance_threshold", 1e-4)
    message = "metric: score function variance_threshold 1e-05, not 0.0001"
    assert difference(before, before | {"metric": resolved(ordering.METRICS["lsa"])}) == message
