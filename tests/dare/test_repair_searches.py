"""The searches of repair: a particle swarm and differential evolution move by their rules, and resume to the bit."""

import numpy
import pytest

from dare.repair import evolution, search, swarm


def sphere(positions):
    """A smooth score, largest at 1."""
    return -((positions - 1) ** 2).sum(axis=1)


def a_space(size=5, starts=()):
    generator = numpy.random.default_rng(2)
    low = -numpy.abs(generator.normal(size=size))
    return search.Space(
        original=generator.normal(size=size), mean=numpy.zeros(size), std=numpy.ones(size), low=low, high=1 - low,
        starts=numpy.array(starts).reshape(-1, size),
    )  # fmt: skip


def test_a_swarm_moves_by_the_rule():
    space, settings = a_space(), swarm.Swarm(particles=7, iterations=4)
    assert settings.constriction == pytest.approx(0.7298, abs=1e-4)
    arrays = settings.start(space, sphere, 3)
    numpy.testing.assert_array_equal(arrays["positions"][0], space.original)
    for number in (1, 2, 3):
        later = settings.generation(arrays, sphere, space, 3, number)
        draws = swarm.stream(3, "swarm", number).uniform(0, settings.phi / 2, (2, 7, 1))
        for i in range(7):
            x = arrays["positions"][i] + arrays["velocities"][i]
            v = settings.constriction * (
                arrays["velocities"][i] + draws[0, i] * (arrays["own"][i] - x) + draws[1, i] * (arrays["best"][0] - x)
            )
            size = 5 * (space.high - space.low)
            numpy.testing.assert_allclose(later["positions"][i], x)
            numpy.testing.assert_allclose(later["velocities"][i], numpy.clip(v, -size, size))
            assert later["own fitness"][i] == max(arrays["own fitness"][i], sphere(x[None])[0])
        assert later["best fitness"][0] == later["own fitness"].max()
        arrays = later


def test_an_evolution_stays_in_its_bounds_and_replaces_only_by_as_good():
    space, settings = a_space(starts=numpy.zeros((2, 5))), evolution.Evolution(vectors=8, generations=6)
    arrays = settings.start(space, sphere, 0)
    low, high = evolution.bounds(space)
    numpy.testing.assert_array_equal(low, 2 * space.low)
    for number in range(1, 5):
        later = settings.generation(arrays, sphere, space, 0, number)
        assert (later["fitness"] >= arrays["fitness"]).all()
        moved = later["positions"] != arrays["positions"]
        assert ((later["positions"] >= low) & (later["positions"] <= high))[moved].all()
        arrays = later
    assert arrays["best fitness"][0] == arrays["fitness"].max()
    with pytest.raises(ValueError, match="3 vectors, expected at least 4"):
        evolution.Evolution(vectors=3).start(space, sphere, 0)


@pytest.mark.parametrize("method", [swarm.Swarm(particles=9), evolution.Evolution(vectors=9)])
def test_a_search_is_never_worse_than_its_start_and_stops_where_nothing_improves(method):
    space = a_space()
    outcome = search.run(method, space, sphere, seed=1)
    assert sphere(outcome.best[None])[0] == outcome.trace[-1] >= sphere(space.original[None])[0]
    assert outcome.trace == sorted(outcome.trace)
    flat = search.run(method, space, lambda positions: numpy.zeros(len(positions)), seed=1)
    assert len(flat.trace) - 1 == (12 if isinstance(method, swarm.Swarm) else 11)
    assert flat.evaluations == 9 * len(flat.trace)


@pytest.mark.parametrize(
    "method", [swarm.Swarm(particles=5, iterations=6), evolution.Evolution(vectors=5, generations=6)]
)
def test_a_search_that_was_killed_continues_with_the_same_bits(method, tmp_path):
    class Killed(Exception):
        pass

    space, path = a_space(), tmp_path / "state.h5"
    whole = search.run(method, space, sphere, seed=4)

    def progress(done, total, note):
        if done == 3:
            raise Killed

    with pytest.raises(Killed):
        search.run(method, space, sphere, seed=4, path=path, progress=progress)
    continued = search.run(method, space, sphere, seed=4, path=path)
    numpy.testing.assert_array_equal(continued.best, whole.best)
    assert (continued.trace, continued.evaluations) == (whole.trace, whole.evaluations)
    with pytest.raises(ValueError, match="another seed"):
        search.run(method, space, sphere, seed=5, path=path)
