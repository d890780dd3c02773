"""The searches of repair: a particle swarm and differential evolution move by their rules, and resume to the bit."""

import math

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


def flat(positions):
    """Every point is as good."""
    return numpy.zeros(len(positions))


def cliff(positions):
    """Most points have no finite score."""
    return numpy.where(positions[:, 0] > 0.3, sphere(positions), -numpy.inf)


def huge(positions):
    """Scores at the end of float64, with ties."""
    return 1e308 * numpy.sign(positions[:, 0])


SPACES = {
    "random": a_space(),
    "with starts": a_space(starts=numpy.linspace(-1, 1, 10)),
    "one value": a_space(size=1),
    "constant kernel": search.Space(original=numpy.ones(3), mean=numpy.ones(3), std=numpy.zeros(3), low=numpy.ones(3),
                                    high=numpy.ones(3), starts=numpy.zeros((0, 3))),
}  # fmt: skip


def first_points(space, count, normal, known):
    """The first points as lists of floats: drawn, but for those that are known."""
    points = [
        [float(space.mean[d]) + float(space.std[d]) * float(normal[i, d]) for d in range(len(space.mean))]
        for i in range(count)
    ]
    for i, values in enumerate(known[:count]):
        points[i] = [float(value) for value in values]
    return points


def naive_swarm(settings, space, score, seed):
    """(best, trace) of a whole search, one value at a time, from the formulas of the paper."""
    size, count = len(space.mean), settings.particles
    chi = 2 / (4.1 - 2 + math.sqrt(4.1**2 - 4 * 4.1))
    largest = 4.1 if settings.as_released else 4.1 / 2
    known = [] if settings.as_released else [space.original, *space.starts]
    x = first_points(space, count, swarm.stream(seed, "swarm", 0).standard_normal((count, size)), known)
    v = [[0.0] * size for _ in range(count)]
    own, own_score = [[*point] for point in x], [float(score(numpy.array([point]))[0]) for point in x]
    leader = own_score.index(max(own_score))
    best, best_score = [*own[leader]], own_score[leader]
    trace = [best_score]
    for number in range(1, settings.iterations + 1):
        draws = swarm.stream(seed, "swarm", number).uniform(0, largest, (2, count, 1))
        for i in range(count):
            for d in range(size):
                x[i][d] += v[i][d]
                pull = draws[0, i, 0] * (own[i][d] - x[i][d]) + draws[1, i, 0] * (best[d] - x[i][d])
                speed, reach = chi * (v[i][d] + pull), float(space.high[d] - space.low[d])
                length = min(abs(speed), 5 * reach)
                if settings.as_released:
                    length = max(length, reach / 5)
                v[i][d] = -length if speed < 0 else length
        for i in range(count):
            value = float(score(numpy.array([x[i]]))[0])
            if value > own_score[i]:
                own[i], own_score[i] = [*x[i]], value
        leader = own_score.index(max(own_score))
        if own_score[leader] > best_score:
            best, best_score = [*own[leader]], own_score[leader]
        trace.append(best_score)
        if number >= 12 and trace[-1] == trace[-11]:
            break
    return best, trace


def naive_evolution(settings, space, score, seed):
    """(best, trace) of a whole search, one value at a time, from the formulas of the paper."""
    size, count = len(space.mean), settings.vectors
    normal = evolution.stream(seed, "evolution", 0).standard_normal((count, size))
    x = first_points(space, count, normal, [space.original, *space.starts])
    scores = [float(score(numpy.array([point]))[0]) for point in x]
    best, best_score = [*x[scores.index(max(scores))]], max(scores)
    trace, unchanged = [best_score], 0
    for number in range(1, settings.generations + 1):
        generator = evolution.stream(seed, "evolution", number)
        factor = generator.uniform(0.5, 1.0)
        for i in range(count):
            others = [j for j in range(count) if j != i]
            a, b, c = (x[others[place]] for place in generator.permutation(count - 1)[:3])
            crossed, always = generator.random(size) < 0.7, generator.integers(size)
            y = [*x[i]]
            for d in range(size):
                if crossed[d] or d == always:
                    low, high = float(space.low[d]), float(space.high[d])
                    low, high = (2 * low if low < 0 else low / 2), (2 * high if high > 0 else high / 2)
                    y[d] = min(max(a[d] + factor * (b[d] - c[d]), low), high)
            value = float(score(numpy.array([y]))[0])
            if value >= scores[i]:
                x[i], scores[i] = y, value
            if value > best_score:
                best, best_score = y, value
        same = numpy.float32(best_score) == numpy.float32(trace[-1])
        unchanged = unchanged + 1 if same else 0
        trace.append(best_score)
        if unchanged > 10:
            break
    return best, trace


@pytest.mark.parametrize("score", [sphere, flat, cliff, huge])
@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
@pytest.mark.parametrize(
    ("settings", "naive"),
    [
        (swarm.Swarm(particles=6, iterations=30), naive_swarm),
        (swarm.Swarm(particles=6, iterations=30, as_released=True), naive_swarm),
        (evolution.Evolution(vectors=6, generations=30), naive_evolution),
    ],
)
def test_a_whole_search_equals_a_loop_over_single_values(settings, naive, space, score):
    with numpy.errstate(over="ignore", invalid="ignore"):  # float32 holds no score of 1e308
        outcome = search.run(settings, space, score, seed=5)
        best, trace = naive(settings, space, score, 5)
    assert len(outcome.trace) == len(trace) and outcome.evaluations == 6 * len(trace)
    numpy.testing.assert_allclose(outcome.best, best, rtol=1e-9, atol=1e-12)
    numpy.testing.assert_allclose(outcome.trace, trace, rtol=1e-9)
