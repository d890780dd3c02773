"""The numbers of repair against naive float64 references, on random and on extreme inputs."""

import itertools

import keras
import numpy
import pytest

from dare.repair import (
    apricot,
    averages,
    candidates,
    forward_impact,
    front_impact,
    kernels,
    loss_gradient,
    metrics,
    neurecover,
    pareto,
    problem,
)
from reporting import statistics


def activations(model, layer, x):
    """What a layer receives, float64."""
    features = keras.Model(model.inputs[0], model.get_layer(layer).input)(x.astype("float32") / 255)
    return numpy.asarray(features, "float64")


def windows(received, layer):
    """(N, positions, kh, kw, C) of a convolution of stride 1; (N, 1, C) of a dense layer."""
    if isinstance(layer, keras.layers.Dense):
        return received[:, None]
    height, width = layer.kernel_size
    if layer.padding == "same":
        above, left = (height - 1) // 2, (width - 1) // 2
        received = numpy.pad(received, ((0, 0), (above, height - 1 - above), (left, width - 1 - left), (0, 0)))
    shape = received.shape[1] - height + 1, received.shape[2] - width + 1
    patches = [received[:, i : i + height, j : j + width] for i, j in numpy.ndindex(*shape)]
    return numpy.stack(patches, 1)


def test_forward_impact_equals_a_loop(small_net, images):
    x, _ = images
    layers = kernels.layers(small_net)
    impact, nothing = forward_impact.of(small_net, [x, x[:0]], layers)
    for name, layer in layers.items():
        seen = numpy.abs(windows(activations(small_net, name, x), layer)).mean(axis=(0, 1))
        expected = numpy.abs(numpy.asarray(layer.kernel, "float64")) * seen[..., None]
        numpy.testing.assert_allclose(impact[name], expected, rtol=1e-4, atol=1e-7)
        assert not nothing[name].any()


def test_front_impact_of_dense_layers_equals_a_loop(small_net, images):
    x, _ = images
    layers = {name: small_net.get_layer(name) for name in ("dense1", "logits")}
    [impact] = front_impact.of(small_net, [x], layers)
    for name, layer in layers.items():
        received, kernel = activations(small_net, name, x), numpy.asarray(layer.kernel, "float64")
        front, share = numpy.zeros(kernel.shape), numpy.zeros(kernel.shape[1])
        for image in received:
            parts = numpy.abs(image[:, None] * kernel)
            total = parts.sum(axis=0)
            front += numpy.divide(parts, total, out=numpy.zeros_like(parts), where=total > 0) / len(x)
            out = numpy.abs(small_net.get_layer("logits").get_weights()[0].sum(axis=1, dtype="float64"))
            gradient = out if name == "dense1" else numpy.ones(kernel.shape[1])
            share += gradient / gradient.sum() / len(x)
        numpy.testing.assert_allclose(impact[name], front * share, rtol=2e-4, atol=1e-9)


def test_front_impact_of_a_convolution_equals_a_loop(images):
    """The convolution is the last but one layer, so that the gradient behind it is the dense kernel's."""
    x, _ = images
    inputs = keras.Input((12, 12, 2))
    hidden = keras.layers.Conv2D(3, 3, strides=1, padding="same", name="conv")(inputs)
    outputs = keras.layers.Dense(3, name="logits")(keras.layers.Flatten()(hidden))
    net = keras.Model(inputs, outputs)
    x = numpy.concatenate([x[:6], numpy.zeros_like(x[:1])])  # the last image gives nothing: n = 0
    [impact] = front_impact.of(net, [x], {"conv": net.get_layer("conv")})
    kernel = numpy.asarray(net.get_layer("conv").kernel, "float64")
    gradient = numpy.abs(numpy.asarray(net.get_layer("logits").kernel, "float64").sum(axis=1)).reshape(144, 3)
    share, expected = gradient / gradient.sum(), numpy.zeros(kernel.shape)
    for image in windows(x.astype("float64") / 255, net.get_layer("conv")):
        for position, window in enumerate(image):
            parts = numpy.abs(window[..., None] * kernel)
            total = parts.sum(axis=(0, 1, 2))
            if (total > 0).all():
                expected += parts / total * share[position] / len(x)
    numpy.testing.assert_allclose(impact["conv"], expected, rtol=2e-4, atol=1e-9)


@pytest.mark.parametrize("scale", [1.0, 200.0])  # the second saturates the softmax
def test_the_gradient_of_the_loss_equals_a_loop(small_net, images, scale):
    x, y = images
    layer = small_net.get_layer("logits")
    layer.set_weights([scale * weight for weight in layer.get_weights()])
    [gradients, nothing] = loss_gradient.of(
        small_net, [problem.Images(x, y), problem.Images(x[:0], y[:0])], {"logits": layer}, batch_size=7
    )
    received = activations(small_net, "logits", x)
    kernel, bias = (part.astype("float64") for part in layer.get_weights())
    logits = received @ kernel + bias
    probabilities = numpy.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    expected = numpy.abs(received.T @ (probabilities - numpy.eye(3)[y]))
    numpy.testing.assert_allclose(gradients["logits"], expected, rtol=1e-3, atol=1e-3 * expected.max())
    assert not nothing["logits"].any()


def test_the_front_equals_its_definition_with_ties_and_infinities():
    generator = numpy.random.default_rng(0)
    for points in (
        generator.integers(0, 12, (500, 2)).astype(float),
        generator.random((500, 2)),
        numpy.zeros((40, 2)),
        numpy.array([[0.0, numpy.inf], [1.0, 1.0], [1.0, 1.0], [0.0, 3.0]]),
        numpy.zeros((0, 2)),
        numpy.array([[1.0, 2.0]]),
    ):
        first, second = points.T
        expected = [not any((other >= point).all() and (other > point).any() for other in points) for point in points]
        numpy.testing.assert_array_equal(pareto.front(first, second), numpy.array(expected, bool))


def test_suspicion_by_hand_on_two_layers():
    change = {"a": numpy.array([1.0, 3.0]), "b": numpy.array([6.0])}  # means 2, 6: shares 1/4, 3/4
    degraded = {"a": numpy.array([1.0, 1.0]), "b": numpy.array([1.0])}  # 1/2, 1/2
    improved = {"a": numpy.array([0.0, 2.0]), "b": numpy.array([3.0])}  # 1/4, 3/4
    by_layer = neurecover.suspicion(change, degraded, improved)
    assert by_layer == pytest.approx({"a": 0.25 * 0.5 / 0.75, "b": 0.75 * 0.5 / 1.25})
    assert neurecover.suspicion(change, degraded, improved, blame=False) == {"a": 0.25, "b": 0.75}
    assert neurecover.suspicion(change, degraded, improved, spare=False) == {"a": 0.25, "b": 0.75}
    nothing = {name: 0 * part for name, part in degraded.items()}
    assert neurecover.suspicion(change, nothing, improved) == {"a": 0.0, "b": 0.0}


def test_fitness_and_outcomes_equal_their_formulas():
    generator = numpy.random.default_rng(0)
    logits = generator.normal(0, 5, (3, 7, 4)).astype("float32")
    logits[0, 0] = [1e4, 0, 0, 0]  # saturated
    logits[0, 1] = 2.0  # tied: the first class
    logits[1, 2, 1] = numpy.nan
    labels = numpy.array([0, 0, 1, 2, 3, 1, 0])
    correct, loss = candidates.outcomes(logits, labels)
    for p, i in numpy.ndindex(3, 7):
        if (p, i) == (1, 2):
            assert not correct[p, i] and numpy.isinf(loss[p, i])
            continue
        z = logits[p, i].astype("float64")
        assert correct[p, i] == (z.argmax() == labels[i])
        assert loss[p, i] == pytest.approx(numpy.log(numpy.exp(z - z.max()).sum()) + z.max() - z[labels[i]], abs=1e-9)
    value = neurecover.fitness(correct, loss, 3, 2.0)
    a, b = correct[0, :3], correct[0, 3:]
    expected = (a.mean() + 1) / (loss[0, :3].mean() + 1) + 2 * (b.mean() + 1) / (loss[0, 3:].mean() + 1)
    assert value[0] == pytest.approx(expected)
    from dare.repair import arachne

    h = numpy.where(correct, 1.0, 1 / (1 + loss))
    numpy.testing.assert_allclose(arachne.fitness(correct, loss, 3, 10.0), h[:, 3:].sum(1) + 10 * h[:, :3].sum(1))


@pytest.mark.parametrize("adjustment", [{}, {"sign": "as-released"}, {"only": "right"}, {"only": "wrong"}])
def test_coefficients_of_apricot_equal_the_loop(adjustment):
    generator = numpy.random.default_rng(1)
    correct = generator.random((60, 5)) < 0.5
    correct[0], correct[1] = True, False  # skipped
    models, start = generator.normal(size=(5, 30)), generator.normal(size=30)
    rule = apricot.Adjustment(**adjustment)
    weights, eta = start.copy(), 0.02 if rule.sign == "toward" else -0.02
    for row in correct:
        if row.all() or not row.any():
            continue
        change = numpy.zeros(30)
        if rule.only != "wrong":
            change += row.mean() * (weights - models[row].mean(axis=0))
        if rule.only != "right":
            change -= (~row).mean() * (weights - models[~row].mean(axis=0))
        weights = weights - eta * change
    kappa, c = apricot.coefficients(correct, rule, eta=0.02)
    assert kappa + c.sum() == pytest.approx(1)
    numpy.testing.assert_allclose(kappa * start + c @ models, weights, rtol=1e-12)


def test_one_step_of_apricot_is_mirrored_by_the_other_sign():
    correct = numpy.array([[True, False, True]])
    (kappa, c), (other, d) = (
        apricot.coefficients(correct, apricot.Adjustment(sign=sign), eta=0.1) for sign in apricot.SIGNS
    )
    assert kappa - 1 == pytest.approx(1 - other)
    numpy.testing.assert_allclose(c, -d)
    with pytest.raises(ValueError, match="sign is 'away', expected one of toward, as-released"):
        apricot.Adjustment(sign="away")


def test_coefficients_of_the_exponential_mean_equal_the_recursion():
    values = numpy.random.default_rng(0).normal(size=6)
    for tau in (0.5, 0.7, 0.9):
        mean = values[0]
        for value in values[1:]:
            mean = tau * mean + (1 - tau) * value
        by_epoch = averages.coefficients(list(range(6)), tau)
        assert sum(by_epoch.values()) == pytest.approx(1)
        assert sum(by_epoch[place] * value for place, value in enumerate(values)) == pytest.approx(mean)


def test_the_rates_obey_their_identity_and_are_undefined_without_images():
    generator = numpy.random.default_rng(0)
    for n, share in itertools.product((1, 2, 50), (0.0, 0.3, 1.0)):
        before, after = generator.random(n) < share, generator.random(n) < 0.6
        rates = means(before, after)
        change = rates.get("rr", 0.0) * (1 - before.mean()) - rates["nfr"]
        assert change == pytest.approx(after.mean() - before.mean())
        assert ("rr" not in rates) == before.all() and ("br" not in rates) == (not before.any())
    adversarials = means(numpy.zeros(9, bool), numpy.arange(9) < 4)
    assert adversarials["rr"] == 4 / 9, "ER is the repair rate of adversarials"
    with pytest.raises(ValueError, match="expected bool"):
        metrics.rates(numpy.zeros(3), numpy.zeros(3, bool))


def means(before, after):
    """name -> the rate, a fraction."""
    return {name: flags.mean() for name, (_, flags) in metrics.rates(before, after).items()}


FLAGS = {
    "all correct": numpy.ones(7, bool),
    "all misclassified": numpy.zeros(7, bool),
    "first": numpy.arange(7) < 1,
    "some": numpy.arange(7) % 3 > 0,
}


@pytest.mark.parametrize("count", [0, 1, 7])
@pytest.mark.parametrize(("before", "after"), [*itertools.product(FLAGS.values(), repeat=2)])
def test_the_rates_equal_a_loop_over_images(before, after, count):
    """Also where nothing fails, nothing is correct, nothing changes, or there is no image."""
    before, after = before[:count], after[:count]
    fixed = broken = failing = correct = 0
    for was, became in zip(before.tolist(), after.tolist(), strict=True):
        failing, correct = failing + (not was), correct + was
        fixed, broken = fixed + (not was and became), broken + (was and not became)
    expected = {"rr": (fixed, failing), "nfr": (broken, count), "br": (broken, correct)}
    expected = {name: part / total for name, (part, total) in expected.items() if total}
    assert means(before, after) == expected, "what is undefined is left out, and not 0"


def test_mcnemar_is_the_binomial_test():
    assert statistics.mcnemar(0, 0) == 1
    assert statistics.mcnemar(6, 0) == pytest.approx(2 / 64)
    assert statistics.mcnemar(3, 3) == 1
