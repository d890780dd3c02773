"""Feature-adversarial hardening and its rivals against NumPy, and the weights that must stay bit-identical."""

import keras
import numpy
import pytest

import data
from dare import controls, dare, get_ats, transform
from dare.hardening import strategies
from dare.hardening.strategies import STRATEGIES
from models import compute, perturb
from train import seeds
from train.robust import perturbation

KINDS = ("feature-adversarial", "fgsm-training", "soft-average", "trades-6")  # one strategy of each kind


@pytest.fixture
def linear_net():
    """A linear G, a 1x1 convolution without bias, before the logits."""
    inputs = keras.Input((3, 3, 2))
    x = keras.layers.Conv2D(4, 1, use_bias=False, name="conv1")(inputs)
    return keras.Model(inputs, keras.layers.Dense(3, name="logits")(keras.layers.Flatten()(x)), name="linear")


def naive_ascent(x, start, kernel, targets, epsilon, step_size, steps):
    """Sign-gradient steps up the squared distance of x @ kernel to the targets."""
    current = start.astype("float64")
    for _ in range(steps):
        gradient = 2 * (current @ kernel - targets) @ kernel.T
        current = numpy.clip(current + step_size * numpy.sign(gradient), x - epsilon, x + epsilon).clip(0, 1)
    return current


def distance(x, kernel, targets):
    return numpy.square(x.astype("float64") @ kernel - targets).mean((1, 2, 3))


def test_the_perturbation_of_a_linear_net_is_the_closed_form_and_never_lowers_the_distance(linear_net):
    generator = numpy.random.default_rng(1)
    x = generator.random((20, 3, 3, 2), "float32")
    targets = generator.normal(size=(20, 3, 3, 4)).astype("float32")
    kernel = linear_net.get_weights()[0][0, 0].astype("float64")
    regression = transform.transform(linear_net, "conv1")
    last = None
    for steps in (1, 3):
        epsilon, size = numpy.float32(0.1), numpy.float32(0.04)
        start = perturbation.begin(x, epsilon, "uniform", numpy.random.default_rng(2))
        run = compute.compiled(regression, strategies.ascent(dare.squared_error, steps))
        moved = numpy.asarray(run(x, start, targets, epsilon, size))
        expected = naive_ascent(x, start, kernel, targets, 0.1, 0.04, steps)
        numpy.testing.assert_allclose(moved, expected, atol=1e-6)
        before = distance(start, kernel, targets) if last is None else last
        last = distance(moved, kernel, targets)
        assert (last >= before - 1e-6).all() and last.mean() > before.mean()


@pytest.mark.parametrize("name", KINDS)
def test_the_perturbation_stays_in_ball_and_range(small_net, images, name):
    strategy = STRATEGIES[name]
    net = transform.transform(small_net) if strategy.through == "regression" else small_net
    x, y = data.to_unit(images[0]), images[1].astype("int32")
    x[0], x[1] = 0, 1
    generator = numpy.random.default_rng(0)
    targets = y if strategy.targets == "labels" else generator.random((48, *net.output_shape[1:]), "float32")
    count, size = strategy.perturbation(2)
    run = compute.compiled(net, strategies.ascent(strategy.attack_loss, count, strategy.paired))
    for epsilon in (0.0, 0.05, 0.7):
        radius = numpy.float32(epsilon)
        start = perturbation.begin(x, radius, "uniform", generator)
        moved = numpy.asarray(run(x, start, targets, radius, numpy.float32(size * epsilon)))
        assert moved.dtype == numpy.float32 and moved.min() >= 0 and moved.max() <= 1
        assert numpy.abs(moved - x).max() <= epsilon + 1e-6
        if epsilon == 0:
            numpy.testing.assert_array_equal(moved, x)
        else:
            assert (numpy.abs(moved - x).reshape(48, -1).max(1) > 0.3 * epsilon).all()


def test_the_random_start_is_uniform_in_the_ball():
    x = numpy.full((2000, 2, 2, 1), 0.5, "float32")
    noise = perturbation.begin(x, numpy.float32(0.2), "uniform", numpy.random.default_rng(0)) - x
    assert numpy.abs(noise).max() <= 0.2 + 1e-6 and abs(noise.mean()) < 0.005
    assert noise.std() == pytest.approx(0.2 / 3**0.5, rel=0.02)


def naive_softmax(logits):
    powers = numpy.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def test_losses_equal_numpy():
    generator = numpy.random.default_rng(0)
    logits = generator.normal(scale=3, size=(10, 4)).astype("float32")
    labels = generator.integers(4, size=5)
    clean, adversarial = naive_softmax(logits[:5].astype("float64")), naive_softmax(logits[5:].astype("float64"))
    for beta in (1.0, 6.0):
        expected = [
            -numpy.log(p[label]) + beta * sum(a * numpy.log(a / b) for a, b in zip(p, q, strict=True))
            for p, q, label in zip(clean, adversarial, labels, strict=True)
        ]
        loss = strategies.trades(beta)(keras.ops.convert_to_tensor(logits), labels)
        numpy.testing.assert_allclose(numpy.asarray(loss), expected, rtol=1e-4)
    loss = strategies.soft_cross_entropy(keras.ops.convert_to_tensor(logits[5:]), clean.astype("float32"))
    numpy.testing.assert_allclose(numpy.asarray(loss), -(clean * numpy.log(adversarial)).sum(-1), rtol=1e-4)


def naive_hardening(kernel, x, targets, draws, noise, *, epsilon, steps, rate):
    """Adam on the squared distance of x' @ kernel to the targets, x' of naive_ascent."""
    kernel, first, second = kernel.astype("float64"), 0.0, 0.0
    for update, rows in enumerate(draws, 1):
        start = perturbation.begin(x[rows], numpy.float32(epsilon), "uniform", noise)
        moved = naive_ascent(x[rows], start, kernel, targets[rows], epsilon, 2.5 / steps * epsilon, steps)
        flat, error = moved.reshape(-1, 2), (moved @ kernel - targets[rows]).reshape(-1, 4)
        gradient = 2 * flat.T @ error / error.size
        first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
        scale = rate * numpy.sqrt(1 - 0.999**update) / (1 - 0.9**update)
        kernel = kernel - scale * first / (numpy.sqrt(second) + 1e-7)
    return kernel


@pytest.mark.backends
def test_hardening_equals_adam_on_perturbed_inputs_written_out(linear_net):
    generator = numpy.random.default_rng(3)
    x = generator.random((24, 3, 3, 2), "float32")
    targets = generator.normal(size=(24, 3, 3, 4)).astype("float32")
    before = linear_net.get_weights()
    orders = [seeds.stream(7, "order of tuning", epoch).permutation(24) for epoch in (0, 1)]
    draws = numpy.concatenate(orders)[:40].reshape(4, 10)
    settings = {"epsilon": 0.1, "steps": 2}
    expected = naive_hardening(
        before[0][0, 0], x, targets, draws, seeds.stream(7, "starts of hardening"), rate=0.01, **settings
    )
    strategy = STRATEGIES["feature-adversarial"]
    settings |= {"learning_rate": 0.01, "batch_size": 10, "stops": [1, 4], "seed": 7}
    tuning = strategies.harden(linear_net, x, targets, strategy, layer="conv1", **settings)
    assert [updates for updates, _ in tuning] == [1, 4]
    after = linear_net.get_weights()
    numpy.testing.assert_allclose(after[0][0, 0], expected, atol=2e-5)
    assert numpy.abs(expected - before[0][0, 0]).max() > 0.02
    for old, new in zip(before[1:], after[1:], strict=True):
        numpy.testing.assert_array_equal(old, new)


@pytest.fixture
def mined(small_net, images):
    """Samples and activations 0.1 above the net's own."""
    activation = compute.predict(compute.forward(transform.transform(small_net)), images[0], prepare=data.to_unit)
    return images[0], activation + numpy.float32(0.1)


def hardened(net, x, targets, name, **settings):
    """The weights of a net after hardening; the net itself is restored."""
    before = net.get_weights()
    settings = {"epsilon": 0.05, "learning_rate": 1e-3, "batch_size": 16, "stops": [5], "seed": 4} | settings
    list(strategies.harden(net, x, targets, STRATEGIES[name], **settings))
    after = net.get_weights()
    net.set_weights(before)
    return after


def test_epsilon_zero_is_plain_regression_bit_for_bit(small_net, mined):
    x, targets = mined
    perturbed = hardened(small_net, x, targets, "feature-adversarial", epsilon=0.0, steps=1, stops=[6])
    plain = hardened(small_net, x, targets, "regression", stops=[6])
    before = small_net.get_weights()
    settings = {"epochs": 2, "batch_size": 16, "learning_rate": 1e-3, "seed": 4}
    mined_targets = get_ats.Targets(numpy.arange(48), numpy.ones(48, int), targets, layer="conv2")
    dare.tune_weights(small_net, mined_targets, x, **settings)
    for ours, other, published in zip(perturbed, plain, small_net.get_weights(), strict=True):
        numpy.testing.assert_array_equal(ours, other)
        numpy.testing.assert_array_equal(ours, published)
    assert controls.relative_change(before, plain) > 0.001


def test_trades_without_a_ball_is_clean_cross_entropy(small_net, images):
    x, labels = images[0], images[1].astype("int32")
    trades = hardened(small_net, x, labels, "trades-6", epsilon=0.0, steps=1)
    plain = hardened(small_net, x, labels, "pgd-training", epsilon=0.0, steps=1)
    for array, other in zip(trades, plain, strict=True):
        numpy.testing.assert_allclose(array, other, atol=2e-4)


@pytest.mark.parametrize("name", ["regression", *KINDS])
def test_every_strategy_lowers_its_loss_and_touches_nothing_else(small_net, mined, images, name):
    x, activation = mined
    strategy = STRATEGIES[name]
    probabilities = numpy.full((48, 3), 1 / 3, "float32")
    targets = activation if strategy.through == "regression" else probabilities
    targets = images[1].astype("int32") if strategy.targets == "labels" else targets
    before = {variable.path: numpy.asarray(variable) for variable in small_net.variables}
    tuning = strategies.harden(
        small_net, x, targets, strategy, epsilon=0.02, steps=1, learning_rate=3e-3, batch_size=48, stops=[1, 25]
    )
    losses = [loss for _, loss in tuning]
    assert losses[1] < losses[0]
    moved = {path for path, old in before.items() if (numpy.asarray(value(small_net, path)) != old).any()}
    inner = {"conv1/kernel", "conv1/bias", "bn1/gamma", "bn1/beta", "conv2/kernel", "conv2/bias"}
    head = {f"{layer}/{part}" for layer in ("dense1", "logits") for part in ("kernel", "bias")}
    assert moved == (inner if strategy.through == "regression" else inner | head)


def value(net, path):
    return next(variable for variable in net.variables if variable.path == path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"epsilon": -0.1}, "epsilon=-0.1"),
        ({"epsilon": 8}, "epsilon=8"),
        ({"learning_rate": 0.0}, "a finite rate above 0"),
        ({"steps": 0}, "steps=0"),
        ({"stops": []}, "expected ascending numbers"),
        ({"stops": [4, 2]}, "expected ascending numbers"),
        ({"stops": [0, 2]}, "expected ascending numbers"),
        ({"layer": "logits"}, "cannot be the regression layer"),
    ],
)
def test_bad_arguments_are_refused(small_net, mined, change, words):
    with pytest.raises(ValueError, match=words):
        hardened(small_net, *mined, "feature-adversarial", **change)
    with pytest.raises(ValueError, match="48 samples but 47 targets"):
        hardened(small_net, mined[0], mined[1][1:], "regression")


def test_a_loss_that_is_not_finite_ends_it(small_net, mined):
    with pytest.raises(ArithmeticError, match="at update 1: use a rate below"):
        hardened(small_net, mined[0], mined[1] * numpy.float32(numpy.inf), "regression")


def test_strategies_say_where_they_come_from():
    for name, strategy in STRATEGIES.items():
        assert strategy.title and strategy.through in ("regression", "classifier"), name
        assert strategy.citation or strategy.targets not in ("labels",), name
    assert STRATEGIES["pgd-training"].loss is perturb.cross_entropy
