"""Guided retraining's inputs, configurations and models."""

import foolbox
import keras
import numpy
import pytest

from adv.guided import configuration, inputs, retraining
from models import compute

RECIPE = retraining.Recipe(epochs=2, batch_size=8)


@pytest.fixture
def net():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((6, 6, 1))
    x = keras.layers.Dense(7, activation="relu", name="hidden")(keras.layers.Flatten()(inputs))
    return keras.Model(inputs, keras.layers.Dense(3, name="logits")(keras.layers.Dropout(0.3)(x)))


@pytest.fixture
def images():
    generator = numpy.random.default_rng(0)
    return generator.random((31, 6, 6, 1), dtype="float32"), numpy.arange(31) % 3


def test_prefixes_are_nested_and_end_with_all():
    assert configuration.prefixes(10, step=4) == [4, 8, 10] and configuration.prefixes(8, step=4) == [4, 8]
    assert configuration.prefixes(10, count=3) == [4, 8, 10] and configuration.prefixes(5, step=9) == [5]
    assert len(configuration.prefixes(35_287, step=configuration.WHOLE["gtsrb"])) == 21
    for refused in ({}, {"step": 1, "count": 1}, {"step": 0}):
        with pytest.raises(ValueError, match="expected a total and one of the others"):
            configuration.prefixes(10, **refused)


def test_c3_has_adversarial_inputs_alone_in_the_same_order():
    ranked, adversarial = numpy.array([4, 0, 3, 1, 2]), numpy.array([False, False, True, True, True])
    assert configuration.pool(ranked, adversarial, configuration.CONFIGURATIONS["c3"]).tolist() == [4, 3, 2]
    for name in ("c1", "c2"):
        assert configuration.pool(ranked, adversarial, configuration.CONFIGURATIONS[name]).tolist() == ranked.tolist()
    assert [setting.original for setting in configuration.CONFIGURATIONS.values()] == [False, True, True]


def test_a_third_of_the_inputs_by_each_attack_as_foolbox_makes_them(net, images):
    x, y = images
    attacked, names = inputs.attack(net, x, y)
    assert names.tolist() == ["cw"] * 10 + ["bim"] * 10 + ["fgsm"] * 11 and attacked.dtype == numpy.float32
    assert attacked.min() >= 0 and attacked.max() <= 1
    change = (attacked - x).reshape(31, -1)
    assert (
        numpy.linalg.norm(change[:10], axis=1).max() <= 0.05 + 1e-6 < 2 * numpy.linalg.norm(change[:10], axis=1).max()
    )
    assert 0 < abs(change[10:20]).sum(axis=1).max() <= 0.05 + 1e-5
    assert abs(change[20:]).max() == pytest.approx(0.05, abs=1e-6)
    gradient = compute.input_gradient(net, lambda z, t: -keras.ops.take_along_axis(
        keras.ops.log_softmax(z), keras.ops.expand_dims(t, 1), 1)[:, 0])(x[20:], y[20:].astype("int32"))  # fmt: skip
    expected = (x[20:] + numpy.float32(0.05) * numpy.sign(numpy.asarray(gradient))).clip(0, 1)
    assert (abs(attacked[20:] - expected) < 1e-6).mean() > 0.99


def test_as_named_runs_what_the_names_say(net, images):
    x, y = images
    attacked, names = inputs.attack(net, x, y, profile="as-named")
    change = attacked - x
    assert abs(change[names == "bim"]).max() == pytest.approx(0.05, abs=1e-6)
    predicted = compute.predict(compute.forward(net), attacked).argmax(axis=1)
    assert (predicted[names == "cw"] != y[names == "cw"]).all(), "Carlini-Wagner has no radius: it succeeds"
    assert isinstance(inputs.PROFILES["as-run"]["cw"], foolbox.attacks.L2BasicIterativeAttack)
    with pytest.raises(ValueError, match="no profile 'named'"):
        inputs.attack(net, x, y, profile="named")


def test_the_duplicate_of_the_published_run(net, images):
    x, y = images
    plain, _ = inputs.attack(net, x, y)
    attacked, names = inputs.attack(net, x, y, duplicate_fgsm=True)
    numpy.testing.assert_array_equal(attacked[:10], plain[-10:])
    assert names[:10].tolist() == ["fgsm"] * 10
    numpy.testing.assert_array_equal(inputs.duplicated(y)[:10], y[-10:])
    numpy.testing.assert_array_equal(inputs.duplicated(y)[10:], y[10:])


def test_inputs_are_drawn_once_each_in_thirds():
    rows = inputs.choose(20, 50, 0, 0)
    assert len(rows) == 18 == len(set(rows)) and rows.max() < 50
    assert inputs.choose(20, 50, 0, 1).tolist() != rows.tolist() == inputs.choose(20, 50, 0, 0).tolist()
    with pytest.raises(ValueError, match="60 adversarial inputs of 50"):
        inputs.choose(60, 50, 0, 0)


@pytest.mark.parametrize("optimizer", ["rmsprop", "adam"])
def test_a_retraining_depends_on_its_arguments_alone(optimizer, net, images):
    recipe = retraining.Recipe(epochs=2, batch_size=8, optimizer=optimizer)
    begin = net.get_weights()
    first = retraining.fit(net, begin, *images, recipe=recipe, seed=1)
    once = net.get_weights()
    retraining.fit(net, [2 * weight for weight in begin], *images, recipe=recipe, seed=5)
    assert retraining.fit(net, begin, *images, recipe=recipe, seed=1) == first and len(first) == 8
    assert all(map(numpy.array_equal, once, net.get_weights()))


def test_one_net_for_all_prefixes_trains_as_fresh_nets_do(net, images):
    """To the bit: weights, state of the optimizer and random numbers of one training leave nothing to the next."""
    begin, sizes = net.get_weights(), (9, 20, 31)
    shared, fresh = [], []
    for size in sizes:
        part = tuple(each[:size] for each in images)
        retraining.fit(net, begin, *part, recipe=RECIPE, seed=1)
        shared.append(net.get_weights())
        own = keras.models.clone_model(net)
        retraining.fit(own, begin, *part, recipe=RECIPE, seed=1)
        fresh.append(own.get_weights())
    for ours, theirs in zip(shared, fresh, strict=True):
        assert all(map(numpy.array_equal, ours, theirs))


def test_parts_are_measured_as_each_is(net, images):
    x, y = images
    parts = {"clean": (x[:20], y[:20]), "adversarial": (x[20:], y[20:])}
    measures = retraining.measure_parts(net, parts)
    assert list(measures) == ["clean", "adversarial", "both"]
    for name, part in {**parts, "both": images}.items():
        assert measures[name] == pytest.approx(retraining.measure(net, *part), rel=1e-6), name


def test_rmsprop_is_keras_own(images):
    """Without dropout and in one batch: the weights after two epochs are those of two steps of Keras's RMSprop."""

    def build():
        keras.utils.set_random_seed(3)
        inputs = keras.Input((6, 6, 1))
        return keras.Model(inputs, keras.layers.Dense(3)(keras.layers.Flatten()(inputs)))

    x, y = images
    ours, theirs = build(), build()
    recipe = retraining.Recipe(epochs=2, batch_size=31)
    retraining.fit(ours, ours.get_weights(), x, y, recipe=recipe, seed=0)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    theirs.compile("rmsprop", loss, jit_compile=False)
    theirs.fit(x, y, batch_size=31, epochs=2, verbose=0)
    for weight, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        numpy.testing.assert_allclose(weight, other, atol=1e-5)


def test_measures_against_a_loop(net, images):
    x, y = images
    measures = retraining.measure(net, x, y)
    logits = numpy.asarray(net(x), float)
    predicted = logits.argmax(axis=1)
    p = numpy.exp(logits) / numpy.exp(logits).sum(axis=1, keepdims=True)
    precision, recall = [], []
    for label in range(3):
        precision.append((y[predicted == label] == label).mean() if (predicted == label).any() else 0.0)
        recall.append((predicted[y == label] == label).mean())
    assert measures["accuracy"] == pytest.approx((predicted == y).mean())
    assert measures["loss"] == pytest.approx(-numpy.log(p[numpy.arange(31), y]).mean(), rel=1e-4)
    assert measures["precision"] == pytest.approx(numpy.mean(precision))
    assert measures["recall"] == pytest.approx(numpy.mean(recall))


def test_traces_are_the_last_hidden_layer_the_classes_and_the_softmax(net, images):
    x, _ = images
    activations, classes, p = retraining.traces(net, x, batch_size=8)
    kernel, bias = net.get_layer("hidden").get_weights()
    numpy.testing.assert_allclose(activations, numpy.maximum(x.reshape(31, -1) @ kernel + bias, 0), atol=1e-5)
    logits = numpy.asarray(net(x), float)
    numpy.testing.assert_array_equal(classes, logits.argmax(axis=1))
    numpy.testing.assert_allclose(p, numpy.exp(logits) / numpy.exp(logits).sum(axis=1, keepdims=True), atol=1e-6)
    flat = keras.Model(net.inputs, keras.layers.Dense(3)(keras.layers.Flatten()(net.inputs[0])))
    with pytest.raises(ValueError, match="no hidden dense layer"):
        retraining.last_hidden(flat)
