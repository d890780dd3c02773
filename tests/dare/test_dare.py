"""Masked tuning against Adam in NumPy, weights that must stay bit-identical, key neurons, and the variants."""

import dataclasses

import h5py
import keras
import numpy
import pytest

import data
import models
from dare import dare, get_ats, key_neurons, nnslicer, transform
from models import compute
from train import seeds

ONES = numpy.ones((1, 8), "float32")


def linear_net():
    """Two 1x1 convolutions without bias: the gradient has a closed form."""
    inputs = keras.Input((2, 2, 2))
    x = keras.layers.Conv2D(3, 1, use_bias=False, name="conv1")(inputs)
    x = keras.layers.Conv2D(2, 1, use_bias=False, name="conv2")(x)
    return keras.Model(inputs, keras.layers.Dense(3, name="logits")(keras.layers.Flatten()(x)), name="linear")


def naive_tuning(first, second, x, targets, mask, draws, rate, reset=False):
    """Adam on the mean squared error of a two-layer linear net; entries outside the mask are put back each step."""
    original, moments = first.copy(), [numpy.zeros_like(w, "float64") for w in (first, first, second, second)]
    first, second = first.astype("float64"), second.astype("float64")
    for step, rows in enumerate(draws, 1):
        if reset:
            step, moments = 1, [numpy.zeros_like(moment) for moment in moments]
        pixels, batch_targets = x[rows].reshape(-1, 2), targets[rows].reshape(-1, 2)
        hidden = pixels @ first
        output_gradient = 2 * (hidden @ second - batch_targets) / batch_targets.size
        gradients = pixels.T @ (output_gradient @ second.T), hidden.T @ output_gradient
        updated = []
        for place, (weight, gradient) in enumerate(zip((first, second), gradients, strict=True)):
            moments[2 * place] = 0.9 * moments[2 * place] + 0.1 * gradient
            moments[2 * place + 1] = 0.999 * moments[2 * place + 1] + 0.001 * gradient**2
            scale = rate * numpy.sqrt(1 - 0.999**step) / (1 - 0.9**step)
            updated.append(weight - scale * moments[2 * place] / (numpy.sqrt(moments[2 * place + 1]) + 1e-7))
        first, second = numpy.where(mask, updated[0], original), updated[1]
    return first, second


@pytest.mark.backends
@pytest.mark.parametrize("reset", [False, True])
def test_masked_tuning_equals_adam_written_out(reset):
    model = linear_net()
    generator = numpy.random.default_rng(0)
    x = generator.random((30, 2, 2, 2), "float32")
    activation = generator.random((12, 2, 2, 2), "float32")
    targets = get_ats.Targets(
        index=numpy.arange(5, 17), epoch=numpy.ones(12, int), activation=activation, layer="conv2"
    )
    mask = numpy.array([[True, False, True], [False, True, True]])
    before = model.get_weights()
    options = {"steps": 4, "batch_size": 6, "learning_rate": 0.01, "seed": 3, "reset_optimizer": reset}
    tuned = dare.tune(model, targets, x, masks={"conv1": mask}, **options)
    draw = seeds.stream(3, "batches of tuning")
    draws = [draw.integers(12, size=6) for _ in range(4)]
    first, second = naive_tuning(before[0][0, 0], before[1][0, 0], x[5:17], activation, mask, draws, 0.01, reset)
    after = tuned.get_weights()
    numpy.testing.assert_allclose(after[0][0, 0], first, atol=2e-5)
    numpy.testing.assert_allclose(after[1][0, 0], second, atol=2e-5)
    numpy.testing.assert_array_equal(after[0][0, 0][~mask], before[0][0, 0][~mask])
    for old, new in zip(before, model.get_weights(), strict=True):
        numpy.testing.assert_array_equal(old, new)


@pytest.fixture
def tuned(small_net, images):
    """A net, its images, targets 0.1 above its own activations, and its slice."""
    x, y = images
    inner = compute.predict(compute.forward(transform.transform(small_net)), x, prepare=data.to_unit)
    index = numpy.arange(0, 40, 2)
    targets = get_ats.Targets(
        index=index,
        epoch=numpy.ones(20, int),
        activation=inner[index] + numpy.float32(0.1),
        layer="conv2",
        model=models.fingerprint(small_net),
    )
    return small_net, targets, x, y, nnslicer.slice_model(small_net, x, y, per=0.5)


def values(model):
    return {variable.path: numpy.array(keras.ops.convert_to_numpy(variable)) for variable in model.weights}


@pytest.mark.parametrize("name", dare.VARIANTS)
def test_a_variant_leaves_what_it_must_leave(tuned, name):
    model, targets, x, y, slices = tuned
    variant = dare.VARIANTS[name]
    if variant.layer == "last-hidden":
        targets = dataclasses.replace(targets, layer="dense1", activation=targets.activation[:, 0, 0, :1] + ONES)
    before = values(model)
    first_tuned = "conv2" if variant.through == "classifier" else None
    dare.improve(model, variant, targets, x, y, slices=slices, learning_rate=0.01, seed=0, frozen_below=first_tuned)
    after = values(model)
    moved = {path for path in before if not numpy.array_equal(before[path], after[path])}
    changed = {path.split("/")[-2] for path in moved}
    if variant.through == "regression":
        tuned = {"conv1", "conv2", "bn1"} | ({"dense1"} if targets.layer == "dense1" else set())
        assert changed == tuned
        statistics = {path for path in before if "moving" in path}
        assert statistics & moved == (statistics if variant.statistics == "moving" else set())
    else:
        assert changed == {"conv2", "dense1", "logits"}
    for layer in ("conv1", "conv2") if variant.combine else ():
        kernel = next(path for path in before if path.endswith(f"{layer}/kernel"))
        frozen = ~slices.mask(layer, variant.combine)
        numpy.testing.assert_array_equal(before[kernel][:, :, frozen], after[kernel][:, :, frozen])
        assert (before[kernel][:, :, ~frozen] != after[kernel][:, :, ~frozen]).any() or frozen.all()
    if variant.combine == "intersection":
        assert frozen.any(), "a slice that freezes nothing would test nothing"


@pytest.mark.ours
def test_each_variant_changes_one_choice():
    dare_, plain = dataclasses.asdict(dare.VARIANTS["dare"]), dataclasses.asdict(dare.VARIANTS["dare-s"])
    schedule = ("steps", "epochs", "batch_size", "learning_rates")
    for name, variant in dare.VARIANTS.items():
        fields = dataclasses.asdict(variant)
        differs = {field for field in fields if fields[field] != dare_[field]} - {"title"}
        if name in ("dare", "dare-s", "dare-sl"):
            continue
        assert len(differs - set(schedule)) == {"dare-released": 2, "dare-10-epochs": 0}.get(name, 1), name
        expected = plain if name == "dare-10-epochs" else dare_
        assert all(fields[field] == expected[field] for field in schedule), name
    assert dare.VARIANTS["dare-s-10-steps"].combine is None


def test_budgets_are_spent(tuned):
    model, targets, x, y, slices = tuned
    original = model.get_weights()
    for name, steps in (("dare-s-10-steps", 10), ("dare-10-epochs", 10 * -(-len(targets.index) // 32))):
        model.set_weights(original)
        losses = dare.improve(model, dare.VARIANTS[name], targets, x, y, slices=slices, learning_rate=1e-5, seed=0)
        assert len(losses) == steps


@pytest.mark.backends
@pytest.mark.parametrize("shape", [(5, 2, 3, 4), (5, 4)])
def test_the_loss_over_key_neurons_equals_a_loop(shape):
    generator = numpy.random.default_rng(1)
    outputs, targets = generator.random((2, *shape), "float32")
    key = generator.random((5, 4)) < 0.5
    key[:, 1] = True
    expected = []
    for sample in range(5):
        terms = []
        for place in numpy.ndindex(shape[1:]):
            if key[sample, place[-1]]:
                terms.append((targets[sample][place] - outputs[sample][place]) ** 2)
        expected.append(sum(terms) / len(terms))
    losses = keras.ops.convert_to_numpy(dare.key_squared_error(outputs, targets, key))
    numpy.testing.assert_allclose(losses, expected, rtol=1e-5)
    everything = keras.ops.convert_to_numpy(dare.key_squared_error(outputs, targets, numpy.ones((5, 4), bool)))
    plain = keras.ops.convert_to_numpy(dare.squared_error(outputs, targets))
    numpy.testing.assert_allclose(everything, plain, rtol=1e-5)


def test_channels_that_are_no_key_neurons_pull_nothing(tuned):
    model, targets, x, _, _ = tuned
    key = numpy.zeros((20, 6), bool)
    key[:, 2] = True
    tuned = dare.tune(model, targets, x, key=key, steps=3, learning_rate=0.01)
    before, after = model.get_layer("conv2").get_weights(), tuned.get_layer("conv2").get_weights()
    others = numpy.arange(6) != 2
    for old, new in zip(before, after, strict=True):
        numpy.testing.assert_array_equal(old[..., others], new[..., others])
        assert (old[..., 2] != new[..., 2]).any()
    for invalid in (key[:5], numpy.zeros((20, 6), bool)):
        with pytest.raises(ValueError, match=r"key neurons have shape .* expected \(20, 6\) with at least one True"):
            dare.tune(model, targets, x, key=invalid)


def test_dare_key_is_tuning_with_the_key_neurons_of_the_class(tuned):
    model, targets, x, y, slices = tuned
    masks = dare.slice_masks(model, slices, "intersection")
    key = key_neurons.key_channels(model, slices, "conv2")[y[targets.index]]
    assert not key.all()
    expected = dare.tune(model, targets, x, masks=masks, key=key, learning_rate=1e-3, seed=4)
    dare.improve(model, dare.VARIANTS["dare-key"], targets, x, y, slices=slices, learning_rate=1e-3, seed=4)
    assert models.fingerprint(model) == models.fingerprint(expected)


@pytest.mark.backends
def test_tuning_lowers_the_loss_and_repeats_to_the_bit(tuned):
    model, targets, x, _, _ = tuned
    tuned_twice = [dare.tune(model, targets, x, steps=30, learning_rate=1e-3, seed=1) for _ in range(2)]
    assert models.fingerprint(tuned_twice[0]) == models.fingerprint(tuned_twice[1]) != models.fingerprint(model)

    def loss(net):
        inner = compute.predict(compute.forward(transform.transform(net)), x, prepare=data.to_unit)
        return ((inner[targets.index] - targets.activation) ** 2).mean()

    assert loss(tuned_twice[0]) < 0.8 * loss(model)


@pytest.mark.backends
def test_tuning_a_model_again_equals_tuning_a_copy_whatever_came_before(tuned, tmp_path):
    model, targets, x, _, slices = tuned
    masks = dare.slice_masks(model, slices, "intersection")
    original = model.get_weights()
    settings = [
        {"masks": masks, "learning_rate": 1e-3, "seed": 1},
        {"masks": masks, "learning_rate": 1e-4, "seed": 2},
        {"masks": masks, "learning_rate": 1e-3, "seed": 1, "reset_optimizer": True},
        {"masks": {name: ~mask for name, mask in masks.items()}, "learning_rate": 1e-3, "seed": 1},
    ]
    expected = [models.fingerprint(dare.tune(model, targets, x, steps=3, **chosen)) for chosen in settings]
    assert len(set(expected)) == 4
    for place in (0, 1, 2, 3, 0):
        model.set_weights(original)
        dare.tune_weights(model, targets, x[targets.index], steps=3, batch_size=128, **settings[place])
        assert models.fingerprint(model) == expected[place]
    moved = [array + numpy.float32(0.01) for array in original]
    model.set_weights(moved)
    dare.tune_weights(model, targets, x[targets.index], steps=3, batch_size=128, **settings[0])
    frozen = ~masks["conv1"]
    kernel = model.get_layer("conv1").get_weights()[0]
    numpy.testing.assert_array_equal(kernel[:, :, frozen], moved[0][:, :, frozen])


def test_a_weights_file_of_a_tuned_model_holds_its_weights_alone(tuned, tmp_path):
    model, targets, x, _, _ = tuned
    dare.tune_weights(model, targets, x[targets.index], steps=1, batch_size=4, learning_rate=1e-3, seed=0)
    model.save_weights(tmp_path / "tuned.weights.h5")
    sizes = []
    with h5py.File(tmp_path / "tuned.weights.h5") as file:
        assert set(file) == {"layers", "vars"}, "nothing of what was compiled beside the model"
        file.visititems(lambda _, item: sizes.append(item.size) if isinstance(item, h5py.Dataset) else None)
    assert sum(sizes) == model.count_params()


def test_lazy_targets_tune_to_the_same_bits(tmp_path, tuned):
    model, targets, x, _, _ = tuned
    with h5py.File(tmp_path / "activation.h5", "w") as file:
        file["activation"] = targets.activation
        lazy = get_ats.Targets(index=targets.index, epoch=targets.epoch, activation=file["activation"], layer="conv2")
        nets = [dare.tune(model, each, x, steps=3, learning_rate=1e-3, seed=1) for each in (targets, lazy)]
    assert models.fingerprint(nets[0]) == models.fingerprint(nets[1])


def test_what_does_not_belong_together_is_refused(tuned):
    model, targets, x, _, _ = tuned
    with pytest.raises(ValueError, match="point to image 38, but there are 20"):
        dare.tune(model, targets, x[:20])
    with pytest.raises(ValueError, match="mask of conv1 has shape"):
        dare.tune(model, targets, x, masks={"conv1": numpy.ones((4, 2), bool)})
    with pytest.raises(
        ValueError, match="names layer 'dense1'; maskable layers up to the regression layer: conv1, conv2"
    ):
        dare.tune(model, targets, x, masks={"dense1": numpy.ones((4, 2), bool)})
    with pytest.raises(ValueError, match="finite positive rate"):
        dare.tune(model, targets, x, learning_rate=float("nan"))
    for settings in ({"steps": 1.5}, {"epochs": 2.5}, {"batch_size": 1.5}, {"learning_rate": "a"}):
        with pytest.raises(ValueError, match="finite positive rate and whole numbers of at least 1"):
            dare.tune(model, targets, x, **settings)
    with pytest.raises(ValueError, match="point to image -1, but there are"):
        dare.tune(model, dataclasses.replace(targets, index=targets.index - targets.index.min() - 1), x)
    with pytest.raises(ArithmeticError, match="learning rate below"):
        dare.tune(model, targets, x, learning_rate=1e30)
    shape = get_ats.Targets(index=targets.index, epoch=targets.epoch, activation=targets.activation, layer="conv1")
    with pytest.raises(ValueError, match="mine them at the same layer"):
        dare.tune(model, shape, x)
    model.set_weights([weight + 1 for weight in model.get_weights()])
    with pytest.raises(ValueError, match="mined for another model"):
        dare.tune(model, targets, x)
