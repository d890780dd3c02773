"""Streams of random numbers: equal for equal purposes, and never shared."""

import itertools
import pathlib
import re

import numpy
import pytest

from train import seeds

ROOT = pathlib.Path(__file__).parents[2]
PURPOSES = ("epoch of training", "dropout of tuning", "batches of tuning")
KEYS = [
    *(
        (seed, purpose, *counters)
        for seed in (0, 1, 5)
        for purpose in PURPOSES
        for counters in ((), (0,), (1,), (0, 0))
    ),
    (0, "epoch of training", 2**31),
    (2**31, "epoch of training", 0),
]


def test_no_two_streams_overlap():
    draws = [seeds.stream(*key).random(2000) for key in KEYS]
    for first, other in itertools.combinations(draws, 2):
        assert abs(numpy.corrcoef(first, other)[0, 1]) < 0.1
        assert not numpy.isin(first, other).any()


@pytest.mark.parametrize("key", KEYS[:4])
def test_the_same_arguments_give_the_same_numbers(key):
    numpy.testing.assert_array_equal(seeds.stream(*key).random(5), seeds.stream(*map(_numpy, key)).random(5))


def _numpy(value):
    return value if isinstance(value, str) else numpy.int64(value)


def test_numbers_are_those_of_this_very_definition():
    """Published results depend on these values: a change of `stream` changes every result."""
    numpy.testing.assert_array_equal(seeds.stream(0, "test images").permutation(10), [5, 1, 8, 0, 7, 2, 6, 9, 3, 4])


def test_every_draw_of_a_computation_has_a_purpose():
    """Generators are made in train/seeds.py; data's splits are drawn from their seed, a bootstrap from a constant."""
    allowed = {"train/seeds.py", "data/stratify.py", "reporting/bootstrap.py"}
    for folder in ("adv", "dare", "data", "models", "train", "pipeline", "reporting", "studies", "scripts"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            name = str(path.relative_to(ROOT))
            match = re.search(r"default_rng\(|RandomState\(|numpy\.random\.PCG64\(", path.read_text(encoding="utf-8"))
            assert name in allowed or not match, f"{name} makes a generator of its own: {match and match[0]}"


def test_repeats_of_all_seeds_differ_and_the_largest_seed_draws_weights():
    drawn = [seeds.of_repeat(seed, repeat) for seed in (0, 1, 2**32 - 1) for repeat in range(1000)]
    assert len(set(drawn)) == 3000
    seeds.seed_weights(max(drawn))
    with pytest.raises(ValueError, match="expected a whole number"):
        seeds.of_repeat(None, 0)
