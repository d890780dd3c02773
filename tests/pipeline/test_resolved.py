"""Catalogue entries as JSON values: the parts that count, and how a difference is named."""

import dataclasses
import functools
import json
import math
import pathlib
import subprocess
import sys
import textwrap

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
        (Entry(rule=function), Entry(rule=lambda images, *, share=0.5, steps=(1, 2): images), "x: rule is "),
        (lambda: {"steps": (2, 10)}, lambda: {"steps": (3, 10)}, "x: nested constants [[2, 10]], not [[3, 10]]"),
        (lambda a: a in {1, 2}, lambda a: a in {1, 3}, "x: nested constants [{'set': [1, 2]}], not"),
        (lambda a: a * 2, lambda a: a + 2, "x: body of tests.pipeline.test_resolved.<lambda> was edited"),
        (lambda a: [lambda: a + 5], lambda a: [lambda: a + 7], "x: body of"),
        (lambda a: 1, lambda a: True, "x: body of"),
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


def made(source, name="rule"):
    """The function of a source text, in a module of its own name."""
    namespace = {"__name__": "entries"}
    exec(compile(textwrap.dedent(source), "entries.py", "exec"), namespace)
    return namespace[name]


RULE = """
    def rule(x, *, share=0.5):
        'A docstring.'
        def inner(y):
            'Another.'
            return y * 5 if y in {'a', 'b', 'c'} else (x, (1, 2.0))
        return inner
"""


@pytest.mark.parametrize(
    ("old", "new"), [("y * 5", "y * 7"), ("y * 5", "y + 5"), ("'c'", "'d'"), ("2.0", "2"), ("(x, (1", "(y, (1")]
)
def test_an_edited_body_of_a_named_function_is_named(old, new):
    before, now = resolved(made(RULE)), resolved(made(RULE.replace(old, new)))
    assert difference({"x": before}, {"x": now}) == "x: body of entries.rule was edited"
    assert difference({"x": {"rule": before}}, {"x": {"rule": now}}) == "x: rule body of entries.rule was edited"


def test_lines_docstrings_and_calls_do_not_change_a_body():
    rule = made(RULE)
    before = resolved(rule)
    for edited in ("\n\n" + RULE, RULE.replace("A docstring", "A sentence"), RULE.replace("Another", "One more")):
        assert resolved(made(edited)) == before
    for _ in range(2000):
        rule(1)("a")
    assert resolved(rule) == before, "specialised by the interpreter"
    loops = made("def rule(n):\n    total = 0\n    for i in range(n):\n        total += i * 2\n    return total")
    fresh = resolved(loops)
    for _ in range(200):
        loops(100)
    assert resolved(loops) == fresh


def test_another_process_digests_the_same():
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); namespace = {'__name__': 'entries'};"
        "exec(sys.argv[2], namespace); from pipeline.resolved import resolved;"
        "print(resolved(namespace['rule'])['body'])"
    )
    root = str(pathlib.Path(__file__).parents[2])
    for seed in ("1", "2"):  # of the hashes that order a set
        command = [sys.executable, "-c", program, root, textwrap.dedent(RULE)]
        printed = subprocess.run(command, capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": seed})
        assert printed.stdout.strip() == resolved(made(RULE))["body"]


def test_a_record_of_before_or_of_another_python_is_accepted():
    now = resolved(made(RULE))
    older = {name: value for name, value in now.items() if name != "body"}
    other = now | {"body": "python3.9 " + "0" * 16}
    for before in (older, other):
        assert difference({"x": before}, {"x": now}) is None
    assert difference({"x": older | {"share": 0.25}}, {"x": now}) == "x: share 0.25, not 0.5"
    tuples = resolved(lambda: (1, {"steps": (2, 10)}))
    older = {name: value for name, value in tuples.items() if name not in ("body", "nested constants")}
    assert difference({"x": older}, {"x": tuples}) is None


def test_a_field_that_was_added_later_and_is_empty_changes_nothing():
    """A training of before `knots` was a field of the set-ups is skipped or continued, and not refused."""
    setup = resolved(robust.SETUPS["rice"])
    before = {"set-up": {name: value for name, value in setup.items() if name != "knots"}}
    assert setup["knots"] == [] and difference(before, {"set-up": setup}) is None
    assert "knots None, not" in difference(before, {"set-up": setup | {"knots": [[0, 1], [1, 0]]}})
