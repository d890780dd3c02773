"""The loop of all attacks: which images continue, which leave, and equal results in a single call and in steps."""

import keras
import numpy
import pytest

from models import compute

pytestmark = pytest.mark.backends

LIMITS = numpy.int32([3, 1, 0, 7, 5])  # how many steps each image needs


@pytest.fixture
def net():
    """Doubles its one number."""
    inputs = keras.Input((1,))
    model = keras.Model(inputs, keras.layers.Dense(1, use_bias=False)(inputs))
    model.set_weights([numpy.float32([[2]])])
    return model


def step(call, index, limits, x, steps, ended):
    """Doubles x and counts, until an image has taken as many steps as its limit."""
    ended = steps >= limits
    return keras.ops.where(ended[:, None], x, call(x)), steps + keras.ops.cast(~ended, "int32"), ended


def negate(call, limits, x, steps, ended):
    return -x, steps, ended


def begin():
    return numpy.ones((5, 1), "float32"), numpy.zeros(5, "int32"), numpy.zeros(5, bool)


@pytest.mark.parametrize("one_call", [False, True])
@pytest.mark.parametrize("shapes_compile", [False, True])
@pytest.mark.parametrize("leave", [None, (), (2, 3)])
def test_each_image_takes_the_steps_it_needs(net, monkeypatch, one_call, shapes_compile, leave):
    monkeypatch.setattr(compute, "ON_ACCELERATOR", one_call)
    monkeypatch.setattr(compute, "SHAPES_COMPILE", shapes_compile)
    settings = {"constants": [LIMITS], "until": 2, "leave": leave, "last": negate, "batch_size": 2}
    x, steps, ended = compute.repeat(net, step, begin(), 6, **settings)
    numpy.testing.assert_array_equal(steps, numpy.minimum(LIMITS, 6))
    numpy.testing.assert_array_equal(ended, LIMITS < 6)
    expected = 2.0**steps
    numpy.testing.assert_array_equal(x[:, 0], numpy.where(ended, expected, -expected))  # what has not ended comes last


def test_no_step_and_no_end(net):
    start = begin()
    for after, before in zip(compute.repeat(net, step, start, 0, constants=[LIMITS], until=2), start, strict=True):
        numpy.testing.assert_array_equal(after, before)
    x, steps, _ = compute.repeat(net, step, start, 4, constants=[numpy.full(5, 9, "int32")])
    assert (x == 16).all() and (steps == 4).all()
    assert (start[0] == 1).all()  # what is handed in stays


@pytest.mark.parametrize("one_call", [False, True])
def test_what_is_drawn_is_for_the_images_that_go_on(net, monkeypatch, one_call):
    monkeypatch.setattr(compute, "ON_ACCELERATOR", one_call)
    counts = []

    def draw(count):
        counts.append(count)
        return numpy.full((count, 1), len(counts), "float32")

    def add(call, index, noise, limits, x, steps, ended):
        ended = steps >= limits
        return keras.ops.where(ended[:, None], x, x + noise), steps + keras.ops.cast(~ended, "int32"), ended

    x, steps, _ = compute.repeat(net, add, begin(), 6, constants=[LIMITS], until=2, draw=draw)
    assert counts == [5, 4, 3, 3, 2, 2]  # an image leaves with the step that sees that it has ended
    numpy.testing.assert_array_equal(x[:, 0], 1 + steps * (steps + 1) / 2)


def test_the_index_counts_the_steps(net, monkeypatch):
    def note(call, index, x):
        return (10 * x + keras.ops.cast(index, "float32"),)

    for one_call in (False, True):
        monkeypatch.setattr(compute, "ON_ACCELERATOR", one_call)
        (x,) = compute.repeat(net, note, [numpy.zeros((3, 1), "float32")], 5)
        assert (x == 1234).all()


@pytest.mark.parametrize("any_count", [False, True])
def test_a_function_is_traced_for_each_signature_and_called_with_its_own(net, any_count):
    traced = []

    def scaled(call, factor, x):
        traced.append(x.shape)
        return call(x) * keras.ops.cast(factor, "float32"), keras.ops.shape(x)[0]

    run = compute.compiled(net, scaled, any_count=any_count)
    for count, factor in ((5, numpy.int32(3)), (2, numpy.int32(-1)), (5, numpy.float32(0.5)), (2, numpy.int32(4))):
        x = numpy.arange(count, dtype="float32")[:, None]
        result, rows = run(factor, x)
        numpy.testing.assert_array_equal(result, 2 * x * factor)
        assert int(rows) == count
    if compute.BACKEND == "tensorflow":
        assert len(traced) == (2 if any_count else 3), "one for each dtype, and for each number of rows"
