"""Slices against a plain loop reference on small nets with integer weights, where floats are exact."""

import keras
import numpy
import pytest

import models
from dare import contribution, nnslicer

CLASSES = 4
RULES = [("dare", None), ("nnslicer", 0.5)]


def images_and_labels(seed, channels=2):
    """Sixteen 8x8 images of exact binary fractions, four a class: every mean is exact as well."""
    random = numpy.random.default_rng(seed)
    y = random.permutation(numpy.repeat(numpy.arange(CLASSES), 4))
    return random.choice([0, 0.25, 0.5, 1], (16, 8, 8, channels)).astype("float32"), y


def with_integer_weights(model, seed):
    random = numpy.random.default_rng(seed)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            width = layer.gamma.shape
            gamma = random.choice([-1, 1, 2], width)
            beta, mean = random.integers(-3, 4, (2, *width))
            layer.set_weights([gamma, beta, mean, numpy.full(width, 0.75)])
        elif isinstance(layer, nnslicer.graph.WEIGHTED):
            layer.set_weights([random.integers(-2, 3, value.shape) for value in layer.get_weights()])
    return model


def dense_net(seed=0):
    inputs = keras.Input((8, 8, 2))
    x = keras.layers.Normalization(mean=0.5, variance=0.25)(inputs)
    x = keras.layers.Flatten()(x)
    x = keras.layers.Dense(12, activation="relu", name="dense1")(x)
    x = keras.layers.Dropout(0.5)(x)
    x = keras.layers.Dense(10, activation="relu", name="dense2")(x)
    return with_integer_weights(keras.Model(inputs, keras.layers.Dense(CLASSES, name="logits")(x)), seed)


def conv_net(seed=0):
    inputs = keras.Input((8, 8, 2))
    x = keras.layers.Normalization(mean=0.5, variance=0.25)(inputs)
    x = keras.layers.Conv2D(5, 3, activation="relu", name="conv1")(x)
    x = keras.layers.MaxPooling2D(2, name="pool1")(x)
    x = keras.layers.Conv2D(6, 3, padding="same", use_bias=False, name="conv2")(x)
    x = keras.layers.BatchNormalization(epsilon=0.25, name="bn")(x)
    x = keras.layers.ReLU(name="relu")(x)
    x = keras.layers.ZeroPadding2D(((0, 1), (0, 1)))(x)
    x = keras.layers.AveragePooling2D(2, name="pool2")(x)
    x = keras.layers.Flatten(name="flatten")(x)
    x = keras.layers.Dense(7, activation="relu", name="dense")(x)
    return with_integer_weights(keras.Model(inputs, keras.layers.Dense(CLASSES, name="logits")(x)), seed)


def branching_net(join, seed=0):
    inputs = keras.Input((8, 8, 2))
    stem = keras.layers.Conv2D(5, 3, name="stem")(inputs)
    branch = keras.layers.ReLU(name="relu")(stem)
    branch = keras.layers.Conv2D(5, 3, padding="same", name="branch")(branch)
    x = join(name="join")([stem, branch])
    x = keras.layers.GlobalMaxPooling2D(name="pool")(x)
    return with_integer_weights(keras.Model(inputs, keras.layers.Dense(CLASSES, name="logits")(x)), seed)


def every_activation(model, x):
    """Tensor name -> float64 values, by one plain pass through the layers."""
    tensors = [model.input, *(layer.output for layer in model.layers[1:])]
    values = keras.Model(model.input, tensors)(x, training=False)
    return {tensor.name: numpy.asarray(value, "float64") for tensor, value in zip(tensors, values, strict=True)}


class Reference:
    """The method page in loops, for one class: differences of tensors and the local rule of one layer."""

    def __init__(self, model, values, y, c, *, per, theta, representative):
        self.model, self.values, self.y, self.c = model, values, y, c
        self.per, self.theta, self.representative = per, theta, representative

    def difference(self, tensor):
        values = self.values[tensor.name]
        while values.ndim > 2:
            values = values.sum(axis=1)
        mine = [value for value, label in zip(values, self.y, strict=True) if label == self.c]
        own = mine[0] if self.representative == "first" else sum(mine) / len(mine)
        return own - sum(values) / len(values)

    def layer(self, name, handed, output=False):
        """handed: contribution of each output neuron -> kept, contribution of the inputs."""
        layer = self.model.get_layer(name)
        d_in, d = self.difference(layer.input), self.difference(layer.output)
        kernel = numpy.asarray(layer.kernel, "float64")
        n_in, n_out = kernel.shape[-2:]
        kept = numpy.zeros((n_in, n_out), bool)
        back = [0.0] * n_in
        for i in [self.c] if output else range(n_out):
            c_i = (d[i] if self.theta is None else 1) if output else handed[i]
            product, local = [], []
            for j in range(n_in):
                weight = kernel[..., j, i].sum()
                product.append(weight * d_in[j])
                local.append(c_i * d[i] * product[j])
            for j in self.survivors(product, local, d[i]):
                kept[j, i] = True
            for j in range(n_in):
                if self.theta is None and output:
                    back[j] += local[j] if kept[j, i] else 0
                elif self.theta is None or kept[j, i]:
                    back[j] += numpy.sign(local[j])
        return kept, back

    def survivors(self, product, local, d):
        n = len(product)
        if self.theta is None:
            return sorted(range(n), key=lambda j: (local[j], j))[int((1 - self.per) * n + 1e-9) :]
        order = sorted(range(n), key=lambda j: (abs(product[j]), j))
        dropped = 0.0
        for position, j in enumerate(order):
            dropped += product[j]
            if not abs(dropped) < self.theta * abs(d):
                return order[position:]
        return []


def channels_of(flat, positions, channels):
    return [sum(flat[p * channels + k] for p in range(positions)) for k in range(channels)]


def reference_dense_net(reference):
    kept = {}
    kept["logits"], back = reference.layer("logits", None, output=True)
    kept["dense2"], back = reference.layer("dense2", back)
    kept["dense1"], _ = reference.layer("dense1", back)
    return kept


def reference_conv_net(reference):
    kept = {}
    kept["logits"], back = reference.layer("logits", None, output=True)
    kept["dense"], back = reference.layer("dense", back)
    kept["conv2"], back = reference.layer("conv2", channels_of(back, 4, 6))
    kept["conv1"], _ = reference.layer("conv1", back)
    return kept


def reference_add_net(reference):
    kept = {}
    kept["logits"], joined = reference.layer("logits", None, output=True)
    kept["branch"], back = reference.layer("branch", joined)
    kept["stem"], _ = reference.layer("stem", [a + b for a, b in zip(joined, back, strict=True)])
    return kept


def reference_concatenate_net(reference):
    kept = {}
    kept["logits"], joined = reference.layer("logits", None, output=True)
    kept["branch"], back = reference.layer("branch", joined[5:])
    kept["stem"], _ = reference.layer("stem", [a + b for a, b in zip(joined[:5], back, strict=True)])
    return kept


def assert_equals_reference(model, walk, x, y, *, rule, theta, per=0.6, representative="mean"):
    found = nnslicer.slice_model(
        model, x, y, per=per, rule=rule, theta=theta, representative=representative, batch_size=6
    )
    values = every_activation(model, x)
    for c in range(CLASSES):
        reference = Reference(model, values, y, c, per=per, theta=theta, representative=representative)
        expected = walk(reference)
        assert set(found.kept) == set(expected)
        for layer, kept in expected.items():
            numpy.testing.assert_array_equal(found.kept[layer][c], kept, f"{layer}, class {c}")
    return found


@pytest.mark.parametrize("representative", ["mean", "first"])
@pytest.mark.parametrize(("rule", "theta"), RULES)
def test_dense_net_equals_the_loops(rule, theta, representative):
    x, y = images_and_labels(1)
    assert_equals_reference(
        dense_net(), reference_dense_net, x, y, rule=rule, theta=theta, representative=representative
    )


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(("rule", "theta"), RULES)
def test_conv_net_equals_the_loops(rule, theta, seed):
    x, y = images_and_labels(seed)
    found = assert_equals_reference(conv_net(seed), reference_conv_net, x, y, rule=rule, theta=theta)
    assert list(found.kept) == ["conv1", "conv2", "dense", "logits"]


@pytest.mark.parametrize(
    ("join", "walk"),
    [(keras.layers.Add, reference_add_net), (keras.layers.Concatenate, reference_concatenate_net)],
)
@pytest.mark.parametrize(("rule", "theta"), RULES)
def test_branches_equal_the_loops(join, walk, rule, theta):
    x, y = images_and_labels(3)
    assert_equals_reference(branching_net(join), walk, x, y, rule=rule, theta=theta)


def test_blocks_of_neurons_give_the_same_slice(monkeypatch):
    x, y = images_and_labels(1)
    whole = nnslicer.slice_model(dense_net(), x, y, per=0.5)
    monkeypatch.setattr(contribution, "BLOCK", 300)
    blocks = nnslicer.slice_model(dense_net(), x, y, per=0.5)
    for layer, kept in whole.kept.items():
        numpy.testing.assert_array_equal(kept, blocks.kept[layer])


@pytest.mark.parametrize("cut", [0, 1, 7, 20, 39, 40])
def test_the_cut_is_the_head_of_the_stable_order(cut):
    random = numpy.random.default_rng(cut)
    values = random.choice([-3.0, -1.0, -0.0, 0.0, 0.0, 2.0], (50, 40))
    values[:3] = 0
    kept = contribution._all_but_smallest(values, cut)
    for row, mask in zip(values, kept, strict=True):
        assert numpy.flatnonzero(~mask).tolist() == sorted(sorted(range(40), key=lambda j: (row[j], j))[:cut])


def test_silent_neurons_tie_and_lose_their_lowest_inputs():
    x, y = images_and_labels(0)
    model = dense_net()
    layer = model.get_layer("dense1")
    layer.set_weights([0 * layer.get_weights()[0], -numpy.ones(12)])
    found = nnslicer.slice_model(model, x, y, per=0.75)
    assert not found.kept["dense1"][:, :32].any()
    assert found.kept["dense1"][:, 32:].all()


def test_constant_neurons_do_not_react():
    x, y = images_and_labels(0)
    x[:, 0] = 0.3
    y = numpy.arange(16) % 3 + (numpy.arange(16) == 5)  # means over 5, 6, 4 and 1 images
    y[5] = 3
    received = keras.Input((8, 8, 2))
    flat = keras.layers.Flatten()(received)
    model = keras.Model(received, flat)
    differences = nnslicer.relative.relative_activations(
        model, [flat, received], x, y, classes=4, representative="mean", batch_size=3
    )
    assert not differences[0][:, :16].any()
    assert differences[0][:, 16:].any()


def test_per_one_keeps_everything_and_the_cut_has_the_exact_size():
    x, y = images_and_labels(0)
    model = conv_net()
    everything = nnslicer.slice_model(model, x, y, per=1)
    for layer in ("conv1", "conv2", "dense"):
        assert everything.kept[layer].all()
    assert (everything.kept["logits"].any(axis=1) == numpy.eye(CLASSES, dtype=bool)).all()
    found = nnslicer.slice_model(model, x, y, per=0.9)
    assert (found.kept["dense"].sum(axis=1) == 24 - 2).all()
    assert (found.kept["conv2"].sum(axis=1) == 5).all()


def test_uint8_images_a_sequential_model_and_progress():
    x, y = images_and_labels(0)
    x = (x > 0.3).astype("float32")
    model, steps = conv_net(), []
    found = nnslicer.slice_model(model, x, y, per=0.6, batch_size=7, progress=lambda *at: steps.append(at))
    assert steps == [(done, 7) for done in range(1, 8)]
    chain = keras.Sequential(model.layers)
    same = nnslicer.slice_model(chain, (x * 255).astype("uint8"), y.astype("int32"), per=0.6)
    for layer, kept in found.kept.items():
        numpy.testing.assert_array_equal(kept, same.kept[layer])
    assert found.model == same.model == models.fingerprint(model)
    assert found.data != same.data


def test_layers_are_chosen_by_argument_or_table(monkeypatch):
    x, y = images_and_labels(0)
    model = conv_net()
    whole = nnslicer.slice_model(model, x, y, per=0.6)
    part = nnslicer.slice_model(model, x, y, per=0.6, layers=["dense", "conv1"])
    assert list(part.kept) == ["conv1", "dense"]
    numpy.testing.assert_array_equal(part.kept["conv1"], whole.kept["conv1"])
    monkeypatch.setitem(nnslicer.LAYERS, model.name, ("conv2",))
    assert list(nnslicer.slice_model(model, x, y).kept) == ["conv2"]
    monkeypatch.setitem(nnslicer.LAYERS, model.name, ("conv9",))
    with pytest.raises(ValueError, match=r"'conv9' given.*conv1, conv2, dense, logits"):
        nnslicer.slice_model(model, x, y)


def some_slice():
    random = numpy.random.default_rng(0)
    kept = {"a/b": random.random((3, 5, 7)) < 0.5, "logits": random.random((3, 7, 3)) < 0.5}
    return nnslicer.Slice(kept, 0.95, "dare", None, "mean", "0" * 64, "1" * 64)


def test_masks_and_frozen_share():
    found = some_slice()
    votes = found.kept["a/b"].sum(axis=0)
    numpy.testing.assert_array_equal(found.mask("a/b", "union"), votes >= 1)
    numpy.testing.assert_array_equal(found.mask("a/b", "majority"), votes >= 2)
    numpy.testing.assert_array_equal(found.mask("a/b", "intersection"), votes == 3)
    assert found.frozen_share()["a/b"] == {
        "union": pytest.approx((votes == 0).mean()),
        "majority": pytest.approx((votes < 2).mean()),
        "intersection": pytest.approx((votes < 3).mean()),
    }
    half = nnslicer.Slice({"a": numpy.array([[[True]], [[False]]])}, 0.5, "dare", None, "mean", "", "")
    assert not half.mask("a", "majority").any()
    with pytest.raises(ValueError, match="'c' is not in the slice; it holds a/b, logits"):
        found.mask("c", "union")
    with pytest.raises(ValueError, match="expected one of union, majority, intersection"):
        found.mask("logits", "mean")


def test_saved_slices_come_back_and_are_small(tmp_path):
    found, path = some_slice(), tmp_path / "slice.h5"
    found.save(path)
    again = nnslicer.load_slice(path)
    assert list(again.kept) == list(found.kept)
    for layer, kept in found.kept.items():
        assert again.kept[layer].dtype == bool
        numpy.testing.assert_array_equal(again.kept[layer], kept)
    for field in ("per", "rule", "theta", "representative", "model", "data"):
        assert getattr(again, field) == getattr(found, field)
    big = nnslicer.Slice({"dense": numpy.ones((10, 512, 512), bool)}, 0.95, "nnslicer", 0.1, "first", "", "")
    big.save(path)
    assert path.stat().st_size < 10 * 512 * 512 / 8 + 10_000
    assert nnslicer.Slice.load(path).theta == 0.1


def test_damaged_slices_are_refused(tmp_path):
    path = tmp_path / "slice.h5"
    with pytest.raises(FileNotFoundError):
        nnslicer.load_slice(path)
    found = some_slice()
    found.save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"slice\.h5"):
        nnslicer.load_slice(path)
    bits = numpy.concatenate([numpy.packbits(kept) for kept in found.kept.values()]).tobytes()
    assert whole.count(bits) == 1
    path.write_bytes(whole.replace(bits, bits[:-1] + bytes([bits[-1] ^ 64])))
    with pytest.raises(ValueError, match="damaged"):
        nnslicer.load_slice(path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"per": 0}, "per is 0, expected"),
        ({"per": 1.5}, "per is 1.5"),
        ({"per": float("nan")}, "per is nan"),
        ({"rule": "dart"}, "expected one of dare, nnslicer"),
        ({"rule": "nnslicer"}, "give theta"),
        ({"rule": "nnslicer", "theta": -1}, "theta is -1"),
        ({"theta": 0.1}, "leave theta out"),
        ({"representative": "median"}, "expected one of mean, first"),
        ({"layers": ["conv1", "conv3"]}, "'conv3' given.*conv1, conv2, dense, logits"),
        ({"layers": []}, "none given"),
        ({"batch_size": 0}, "batch_size is 0"),
    ],
)
def test_wrong_options_are_named(options, message):
    x, y = images_and_labels(0)
    with pytest.raises(ValueError, match=message):
        nnslicer.slice_model(conv_net(), x, y, **options)


def test_wrong_data_is_named():
    x, y = images_and_labels(0)
    model = conv_net()
    broken = x.copy()
    broken[3, 2, 2, 1] = numpy.nan
    for images, labels, message in [
        (x, numpy.where(y == 2, 1, y), "no image of class 2"),
        (x[:0], y[:0], "no image of class 0, 1, 2, 3"),
        (x, y + 1, "labels lie in"),
        (x, y[1:], "labels are"),
        (x, y.astype(float), "labels are float64"),
        (x[..., :1], y, "images have shape"),
        (x[0], y, "images have shape"),
        (x.astype("int32"), y, "pixels are int32"),
        (255 * x, y, "expected \\[0, 1\\]"),
        (broken, y, "nan"),
    ]:
        with pytest.raises(ValueError, match=message):
            nnslicer.slice_model(model, images, labels)
    kernel, bias = model.get_layer("conv1").get_weights()
    kernel[0, 0, 0, 0] = numpy.nan
    model.get_layer("conv1").set_weights([kernel, bias])
    with pytest.raises(ValueError, match="not finite"):
        nnslicer.slice_model(model, x, y)


def test_models_that_cannot_be_sliced_are_named():
    x, y = images_and_labels(0)
    layers = keras.layers
    inputs = keras.Input((8, 8, 2))
    shared = layers.Conv2D(2, 3, padding="same", name="shared")

    def ended(value):
        return keras.Model(inputs, layers.Dense(CLASSES)(layers.Flatten()(value)))

    logits = layers.Dense(CLASSES)(layers.Flatten()(inputs))
    for model, message in [
        (ended(layers.LayerNormalization(name="norm")(inputs)), r"'norm' \(LayerNorm.*Conv2D, Dense"),
        (ended(layers.DepthwiseConv2D(3, name="depth")(inputs)), "'depth'"),
        (ended(keras.ops.tanh(inputs)), "cannot be sliced"),
        (ended(layers.Conv2D(2, 3, groups=2, name="grouped")(inputs)), "'grouped' convolves in 2"),
        (ended(shared(shared(inputs))), "'shared' is used 2 times"),
        (ended(layers.Concatenate(axis=1, name="rows")([inputs, inputs])), "'rows' joins axis 1"),
        (ended(layers.Add(name="sum")([inputs, layers.MaxPooling2D(8)(inputs)])), "'sum' adds shapes"),
        (keras.Model(inputs, layers.Add(name="end")([logits] * 2)), "comes from 'end'"),
        (keras.Model(inputs, layers.Conv2D(4, 3, name="map")(inputs)), "logits"),
        (keras.Model(inputs, [inputs, ended(inputs).output]), "one input and one output"),
        (keras.Sequential([layers.Dense(4)]), "one input and one output"),
    ]:
        with pytest.raises(ValueError, match=message):
            nnslicer.slice_model(model, x, y)
