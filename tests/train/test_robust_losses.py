"""TRADES, MART and the optimizer against a few lines of float64 NumPy, and TRADES' gradients by finite differences."""

import keras
import numpy
import pytest

from models import compute, updates
from train.robust import SETUPS, losses, optimizer

pytestmark = pytest.mark.backends


def softmax(z):
    e = numpy.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def naive_trades(z, a, y, beta):
    p, q = softmax(z), softmax(a)
    return [-numpy.log(p[i, k]) + beta * sum(p[i] * numpy.log(p[i] / q[i])) for i, k in enumerate(y)]


def naive_mart(z, a, y, beta):
    p, q = softmax(z), softmax(a)
    values = []
    for i, k in enumerate(y):
        runner_up = max(q[i, j] for j in range(z.shape[1]) if j != k)
        boosted = -numpy.log(q[i, k]) - numpy.log(1.0001 - runner_up + 1e-12)
        divergence = sum(a * (numpy.log(a) - numpy.log(b + 1e-12)) for a, b in zip(p[i], q[i], strict=True) if a > 0)
        values.append(boosted + beta * divergence * (1.0000001 - p[i, k]))
    return values


@pytest.fixture
def logits():
    generator = numpy.random.default_rng(0)
    return *(3 * generator.normal(size=(2, 20, 5))), generator.integers(0, 5, 20)


@pytest.mark.parametrize(("name", "naive"), [("trades", naive_trades), ("mart", naive_mart)])
@pytest.mark.parametrize("beta", [0.0, 1.0, 6.0])
def test_losses_equal_their_definitions(logits, name, naive, beta):
    clean, adversarial, labels = logits
    values = getattr(losses, name)(*(keras.ops.cast(z, "float32") for z in (clean, adversarial)), labels, beta=beta)
    numpy.testing.assert_allclose(numpy.asarray(values), naive(clean, adversarial, labels, beta), rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("spread", [5.0, 12.0, 300.0])
def test_the_second_logarithm_of_marts_divergence_ends_at_the_constant_of_its_code(logits, spread):
    clean, adversarial, labels = spread / 3 * logits[0], spread / 3 * logits[1], logits[2]
    values = losses.mart(*(keras.ops.cast(z, "float32") for z in (clean, adversarial)), labels, beta=5.0)
    with numpy.errstate(divide="ignore"):
        expected = numpy.array(naive_mart(clean, adversarial, labels, 5.0))
    whole = numpy.isfinite(expected)  # the reference's boosted cross-entropy of a probability that underflows is not
    assert numpy.isfinite(numpy.asarray(values)).all() and whole.sum() > 5
    numpy.testing.assert_allclose(numpy.asarray(values)[whole], expected[whole], rtol=2e-4, atol=2e-4)


def test_trades_takes_its_divergence_from_another_pass_where_one_is_given(logits):
    clean, adversarial, labels = logits
    again = clean + numpy.random.default_rng(1).normal(size=clean.shape)
    arrays = [keras.ops.cast(z, "float32") for z in (clean, adversarial, again)]
    values = losses.trades(*arrays[:2], labels, beta=6.0, again=arrays[2])
    base = numpy.array(naive_trades(clean, adversarial, labels, 0.0))
    expected = base + naive_trades(again, adversarial, labels, 6.0) - naive_trades(again, adversarial, labels, 0.0)
    numpy.testing.assert_allclose(numpy.asarray(values), expected, rtol=2e-4, atol=2e-5)


def test_the_divergence_runs_from_clean_to_adversarial(logits):
    clean, adversarial, labels = (numpy.float32(part) for part in logits)
    labels = labels.astype("int32")
    forward = losses.trades(clean, adversarial, labels, beta=1.0) - losses.trades(clean, adversarial, labels, beta=0.0)
    p, q = softmax(clean), softmax(adversarial)
    numpy.testing.assert_allclose(numpy.asarray(forward), (p * numpy.log(p / q)).sum(-1), rtol=1e-3, atol=1e-5)
    assert not numpy.allclose(forward, (q * numpy.log(q / p)).sum(-1), rtol=1e-2)


@pytest.mark.parametrize("which", [0, 1])
def test_gradients_flow_through_both_arguments_of_the_divergence(logits, which):
    pair, labels = [numpy.float32(part) for part in logits[:2]], logits[2].astype("int32")
    identity = keras.Sequential([keras.Input((5,)), keras.layers.Identity()])

    def gradient(call, x, other):
        def loss(x):
            both = (x, other) if which == 0 else (other, x)
            return losses.trades(*both, labels, beta=6.0), ()

        return compute.gradient(loss, x)[1]

    actual = numpy.asarray(compute.compiled(identity, gradient)(pair[which], pair[1 - which]))
    expected, step = numpy.zeros((20, 5)), 1e-5
    for column in range(5):
        values = []
        for sign in (1, -1):
            moved = [numpy.float64(part) for part in pair]
            moved[which][:, column] += sign * step
            values.append(numpy.array(naive_trades(*moved, labels, 6.0)))
        expected[:, column] = (values[0] - values[1]) / (2 * step)
    numpy.testing.assert_allclose(actual, expected, rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("momentum", [0.9, 0.0])
def test_sgd_decays_inside_the_momentum_and_scales_it_by_todays_rate(momentum):
    weights, velocity = numpy.float32([1.0, -2.0]), numpy.zeros(2)
    variable = keras.Variable(weights)
    sgd = optimizer.CoupledSGD(0.1, momentum=momentum, weight_decay=0.01)
    expected = weights.astype("float64")
    for rate, gradient in [(0.1, [0.5, -1.0]), (0.1, [0.1, 0.3]), (0.01, [-0.2, 0.4]), (0.01, [0.0, 0.0])]:
        sgd.learning_rate = rate
        sgd.apply([keras.ops.convert_to_tensor(numpy.float32(gradient))], [variable])
        velocity = momentum * velocity + numpy.array(gradient) + 0.01 * expected
        expected = expected - rate * velocity
    numpy.testing.assert_allclose(keras.ops.convert_to_numpy(variable), expected, rtol=1e-5)


def cyclic(peak, half):
    """PyTorch's CyclicLR from a rate of 0, triangular with its default momenta: (rate, momentum) of each batch."""
    for batch in range(2 * half):
        height = max(0.0, 1 - abs(batch / half - 1))
        yield peak * height, 0.9 - (0.9 - 0.8) * height


@pytest.mark.parametrize("name", ["fast", "fgsm-rs"])
def test_a_compiled_update_cycles_rate_and_momentum_as_pytorch_does(name):
    """Every step of one run on a quadratic, against float64, with both set anew before each."""
    setup, half = SETUPS[name], 10
    inputs = keras.Input((3,))
    model = keras.Model(inputs, keras.layers.Dense(2, use_bias=False)(inputs))
    sgd = optimizer.CoupledSGD(setup.learning_rate, momentum=setup.momentum, weight_decay=setup.weight_decay)
    step = updates.supervised_step(model, sgd, lambda outputs, y: keras.ops.sum((outputs - y) ** 2, axis=-1))
    generator = numpy.random.default_rng(2)
    expected, velocity = model.get_weights()[0].astype("float64"), numpy.zeros((3, 2))
    for batch, (rate, momentum) in enumerate(cyclic(setup.learning_rate, half)):
        assert setup.rate(batch / (2 * half)) == pytest.approx(rate)
        assert setup.momentum_of(setup.rate(batch / (2 * half))) == pytest.approx(momentum)
        sgd.learning_rate = setup.rate(batch / (2 * half))
        sgd.momentum = setup.momentum_of(setup.rate(batch / (2 * half)))
        x, y = (generator.normal(size=shape).astype("float32") for shape in ((5, 3), (5, 2)))
        step(x, y)
        gradient = 2 * x.T.astype("float64") @ (x @ expected - y) / 5 + setup.weight_decay * expected
        velocity = momentum * velocity + gradient
        expected = expected - rate * velocity
    numpy.testing.assert_allclose(model.get_weights()[0], expected, rtol=1e-4, atol=1e-5)


def test_a_set_up_without_a_cycle_keeps_its_momentum():
    assert {SETUPS["standard"].momentum_of(rate) for rate in (0.05, 0.005)} == {0.9}
