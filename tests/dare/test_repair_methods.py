"""Every repair method on a small net with a history: what it changes, what it leaves, and what it refuses."""

import numpy
import pytest

from dare.repair import at_random, catalogue, problem

SMALL = {"particles": 6, "generations": 3}


def at(cell, **changes):
    """The Problem of the fixture's cell; x_test is not a part of it."""
    settings = {"x_train": cell.x, "seed": 3} | changes
    return problem.make(cell.model, cell.history, cell.x, cell.y, **settings)


def same(first, second):
    for a, b in zip(first, second, strict=True):
        numpy.testing.assert_array_equal(a, b)


@pytest.fixture(autouse=True)
def final(cell):
    cell.history.load_weights(cell.model, cell.history.last)


@pytest.mark.parametrize("name", catalogue.METHODS)
def test_a_method_gives_the_same_weights_again_and_leaves_the_model_as_it_was(cell, name):
    given = at(cell)
    method = catalogue.method(name, **SMALL)
    made = [method.repair(given) for _ in range(2)]
    same(cell.model.get_weights(), given.original)
    if made[0].model is None:
        same(made[0].weights, made[1].weights)
        assert [array.shape for array in made[0].weights] == [array.shape for array in given.original]
    assert made[0].facts == made[1].facts and made[0].forward == made[1].forward


@pytest.mark.parametrize("name", ["neurecover", "neurecover-history", "arachne", "arachne-gl", "random-arachne"])
def test_a_search_changes_located_weights_alone(cell, name):
    given, method = at(cell), catalogue.method(name, **SMALL)
    located = (method.of if hasattr(method, "of") else method).locate(given)[0]
    weights = method.repair(given).weights
    assert len(located), "so that there is something to see"
    count = sum(int((a != b).sum()) for a, b in zip(given.original, weights, strict=True))
    assert count <= len(located)
    if not isinstance(method, at_random.RandomLocation):
        same(weights, located.written(cell.model, given.original, located.read(cell.model, weights)))


@pytest.mark.parametrize("name", ["neurecover", "neurecover-history", "arachne", "random-neurecover"])
def test_a_search_is_never_below_the_model_that_it_starts_from(cell, name):
    for seed in range(3):
        facts = catalogue.method(name, **SMALL).repair(at(cell, seed=seed)).facts
        if facts["located"]:
            assert facts["fitness"][1] >= facts["fitness"][0]
