"""The connections that are cut, the options, and the mask over all classes."""

import functools

import keras
import numpy
import pytest

import models
from dare import contribution, dare, get_ats, nnslicer, profile, transform
from models import compute

layers = keras.layers
conv = functools.partial(layers.Conv2D, kernel_initializer="zeros")
dense = functools.partial(layers.Dense, kernel_initializer="zeros")
CLASSES = 4


def images_and_labels():
    random = numpy.random.default_rng(0)
    y = random.permutation(numpy.repeat(numpy.arange(CLASSES), 4))
    return random.choice([0, 0.25, 0.5, 1], (16, 8, 8, 2)).astype("float32"), y


def with_integer_weights(model):
    random = numpy.random.default_rng(0)
    model.set_weights([random.integers(-2, 3, value.shape) for value in model.get_weights()])
    return model


def small_net():
    """conv1 (2 -> 5), conv2 (5 -> 6), dense (24 -> 10) and logits."""
    inputs = keras.Input((8, 8, 2))
    x = layers.MaxPooling2D()(conv(5, 3, activation="relu", name="conv1")(inputs))
    x = layers.ReLU()(conv(6, 2, name="conv2")(x))
    x = dense(10, activation="relu", name="dense")(layers.Flatten()(x))
    return with_integer_weights(keras.Model(inputs, dense(CLASSES, name="logits")(x)))


def assert_same(first, second):
    assert list(first.kept) == list(second.kept)
    for layer, kept in first.kept.items():
        numpy.testing.assert_array_equal(kept, second.kept[layer], layer)


def test_blocks_of_neurons_give_the_same_slice(monkeypatch):
    whole = nnslicer.slice_model(small_net(), *images_and_labels(), per=0.5)
    monkeypatch.setattr(contribution, "BLOCK", 50)
    assert_same(whole, nnslicer.slice_model(small_net(), *images_and_labels(), per=0.5))


@pytest.mark.parametrize("cut", [0, 1, 7, 20, 39, 40])
def test_the_cut_is_the_head_of_the_stable_order(cut):
    random = numpy.random.default_rng(cut)
    values = random.choice([-3.0, -1.0, -0.0, 0.0, 0.0, 2.0], (50, 40))
    values[:3] = 0
    kept = contribution._all_but_smallest(values, cut)
    for row, mask in zip(values, kept, strict=True):
        assert numpy.flatnonzero(~mask).tolist() == sorted(sorted(range(40), key=lambda j: (row[j], j))[:cut])


def test_silent_neurons_tie_and_lose_their_lowest_inputs():
    model = small_net()
    model.get_layer("dense").set_weights([numpy.zeros((24, 10)), -numpy.ones(10)])
    slices = nnslicer.slice_model(model, *images_and_labels(), per=2 / 3)
    assert not slices.kept["dense"][:, :8].any()
    assert slices.kept["dense"][:, 8:].all()


def test_constant_neurons_do_not_react():
    x, _ = images_and_labels()
    x[:, 0] = 0.3
    y = numpy.arange(16) % 3 + (numpy.arange(16) == 5)  # means over 5, 6, 4 and 1 images
    y[5] = 3
    received = keras.Input((8, 8, 2))
    flat = layers.Flatten()(received)
    differences = profile.relative_activations(
        keras.Model(received, flat), [flat, received], x, y, classes=4, representative="mean", batch_size=3
    )
    assert not differences[0][:, :16].any()
    assert differences[0][:, 16:].any()


@pytest.mark.parametrize("per", [1, 0.9, 0.95, 0.5, 1e-3])
def test_every_class_keeps_the_same_share_under_rule_dare(per):
    slices = nnslicer.slice_model(small_net(), *images_and_labels(), per=per)
    for layer, shares in slices.kept_share().items():
        inputs = slices.kept[layer].shape[1]
        assert shares == pytest.approx([1 - int((1 - per) * inputs + 1e-9) / inputs] * CLASSES)
        sizes = slices.kept[layer].sum(axis=1)
        analysed = numpy.eye(CLASSES, dtype=bool) if layer == "logits" else numpy.ones_like(sizes, bool)
        assert (sizes == numpy.where(analysed, round(inputs * shares[0]), 0)).all()


def test_theta_only_shrinks_the_slice():
    x, y = images_and_labels()
    grown = [nnslicer.slice_model(small_net(), x, y, rule="nnslicer", theta=theta) for theta in (0, 0.3, 3)]
    assert all(share == 1 for shares in grown[0].kept_share().values() for share in shares)
    logits = [slices.kept["logits"] for slices in grown]
    assert (logits[0] >= logits[1]).all() and (logits[1] >= logits[2]).all()
    assert logits[0].sum() > logits[1].sum() > logits[2].sum()


def test_uint8_images_a_sequential_model_and_progress():
    x, y = images_and_labels()
    x = (x > 0.3).astype("float32")
    model, steps = small_net(), []
    slices = nnslicer.slice_model(model, x, y, per=0.6, batch_size=7, progress=lambda *at: steps.append(at))
    assert steps == [(done, 7) for done in range(1, 8)]
    chained = keras.Sequential(model.layers)
    same = nnslicer.slice_model(chained, (x * 255).astype("uint8"), y.astype("int32"), per=0.6)
    assert_same(slices, same)
    assert slices.model == same.model == models.fingerprint(model)
    assert slices.data != same.data


def test_layers_are_chosen_by_argument_or_table(monkeypatch):
    x, y = images_and_labels()
    model = small_net()
    whole = nnslicer.slice_model(model, x, y, per=0.6)
    assert whole.output == "logits"
    part = nnslicer.slice_model(model, x, y, per=0.6, layers=["dense", "conv1"])
    assert list(part.kept) == ["conv1", "dense"] and part.output is None
    numpy.testing.assert_array_equal(part.kept["conv1"], whole.kept["conv1"])
    monkeypatch.setitem(nnslicer.LAYERS, model.name, ("conv2",))
    assert list(nnslicer.slice_model(model, x, y).kept) == ["conv2"]
    monkeypatch.setitem(nnslicer.LAYERS, model.name, "logits")
    assert nnslicer.slice_model(model, x, y).output == "logits"


def test_masks_and_shares():
    random = numpy.random.default_rng(0)
    own = random.random((3, 7, 3)) < 0.5
    own &= numpy.eye(3, dtype=bool)[:, None]
    kept = {"a/b": random.random((3, 5, 7)) < 0.5, "logits": own}
    slices = nnslicer.Slice(kept, 0.95, "dare", None, "mean", "", "", "logits")
    votes = kept["a/b"].sum(axis=0)
    numpy.testing.assert_array_equal(slices.mask("a/b", "union"), votes >= 1)
    numpy.testing.assert_array_equal(slices.mask("a/b", "majority"), votes >= 2)
    numpy.testing.assert_array_equal(slices.mask("a/b", "intersection"), votes == 3)
    frozen = {combine: [share[combine] for share in slices.frozen_share().values()] for combine in nnslicer.COMBINES}
    unkept = 1 - own.any(axis=0).mean()
    assert frozen["union"] == [pytest.approx((votes == 0).mean()), pytest.approx(unkept)]
    assert frozen["majority"] == [pytest.approx((votes < 2).mean()), pytest.approx(unkept)]
    assert frozen["intersection"] == [pytest.approx((votes < 3).mean()), pytest.approx(unkept)]
    assert slices.kept_share() == {
        "a/b": [pytest.approx(of_class.mean()) for of_class in kept["a/b"]],
        "logits": [pytest.approx(own[c, :, c].mean()) for c in range(3)],
    }
    half = nnslicer.Slice({"a": numpy.array([[[True]], [[False]]])}, 0.5, "dare", None, "mean", "", "")
    assert not half.mask("a", "majority").any()


def test_tuning_moves_only_the_masked_connections_of_depthwise_and_residual_nets():
    inputs = keras.Input((8, 8, 2))
    x = conv(4, 3, padding="same", name="stem")(inputs)
    inner = layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2, name="depthwise")(x)
    x = layers.Add(name="sum")([conv(4, 1, name="pointwise")(inner), x])
    x = layers.GlobalAveragePooling2D()(layers.ReLU(name="end")(x))
    model = with_integer_weights(keras.Model(inputs, dense(CLASSES, name="logits")(x)))
    images, y = images_and_labels()
    slices = nnslicer.slice_model(model, images, y, rule="nnslicer", theta=0.4)
    assert transform.regression_layer(model) == "end"
    activation = numpy.asarray(compute.forward(transform.transform(model))(images)) + 1
    targets = get_ats.Targets(index=numpy.arange(16), epoch=numpy.ones(16, int), activation=activation, layer="end")
    masks = dare.slice_masks(model, slices, "intersection", "end")
    assert {name: mask.shape for name, mask in masks.items()} == {
        "stem": (2, 4),
        "depthwise": (4, 2),
        "pointwise": (8, 4),
    }
    tuned = dare.tune(model, targets, images, masks=masks, steps=2, learning_rate=0.1)
    for name, mask in masks.items():
        moved = tuned.get_layer(name).get_weights()[0] != model.get_layer(name).get_weights()[0]
        assert 0 < mask.sum() < mask.size and moved[:, :, mask].any() and not moved[:, :, ~mask].any(), name
