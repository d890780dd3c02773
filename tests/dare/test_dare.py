"""Masked tuning against Adam written out, what must stay bit-identical, variants and controls."""

import keras
import numpy
import pytest

import data
import models
from dare import controls, dare, get_ats, nnslicer, transform
from models import compute
from train.history import History


def linear_net():
    """Two 1x1 convolutions without bias: the gradient can be written down."""
    inputs = keras.Input((2, 2, 2))
    x = keras.layers.Conv2D(3, 1, use_bias=False, name="conv1")(inputs)
    x = keras.layers.Conv2D(2, 1, use_bias=False, name="conv2")(x)
    return keras.Model(inputs, keras.layers.Dense(3, name="logits")(keras.layers.Flatten()(x)), name="linear")


def naive_tuning(first, second, x, targets, mask, draws, rate):
    """Adam on the mean squared error of a two-layer linear net; entries outside the mask are put back each step."""
    original, moments = first.copy(), [numpy.zeros_like(w, "float64") for w in (first, first, second, second)]
    first, second = first.astype("float64"), second.astype("float64")
    for step, rows in enumerate(draws, 1):
        pixels, wanted = x[rows].reshape(-1, 2), targets[rows].reshape(-1, 2)
        hidden = pixels @ first
        slope = 2 * (hidden @ second - wanted) / wanted.size
        gradients = pixels.T @ (slope @ second.T), hidden.T @ slope
        updated = []
        for place, (weight, gradient) in enumerate(zip((first, second), gradients, strict=True)):
            moments[2 * place] = 0.9 * moments[2 * place] + 0.1 * gradient
            moments[2 * place + 1] = 0.999 * moments[2 * place + 1] + 0.001 * gradient**2
            scale = rate * numpy.sqrt(1 - 0.999**step) / (1 - 0.9**step)
            updated.append(weight - scale * moments[2 * place] / (numpy.sqrt(moments[2 * place + 1]) + 1e-7))
        first, second = numpy.where(mask, updated[0], original), updated[1]
    return first, second


def test_masked_tuning_equals_adam_written_out():
    model = linear_net()
    generator = numpy.random.default_rng(0)
    x = generator.random((30, 2, 2, 2), "float32")
    activation = generator.random((12, 2, 2, 2), "float32")
    targets = get_ats.Targets(
        index=numpy.arange(5, 17), epoch=numpy.ones(12, int), activation=activation, layer="conv2"
    )
    mask = numpy.array([[True, False, True], [False, True, True]])
    before = model.get_weights()
    tuned = dare.tune(model, targets, x, masks={"conv1": mask}, steps=4, batch_size=6, learning_rate=0.01, seed=3)
    draw = numpy.random.default_rng(3)
    draws = [draw.integers(12, size=6) for _ in range(4)]
    first, second = naive_tuning(before[0][0, 0], before[1][0, 0], x[5:17], activation, mask, draws, 0.01)
    after = tuned.get_weights()
    numpy.testing.assert_allclose(after[0][0, 0], first, atol=2e-5)
    numpy.testing.assert_allclose(after[1][0, 0], second, atol=2e-5)
    numpy.testing.assert_array_equal(after[0][0, 0][~mask], before[0][0, 0][~mask])
    for old, new in zip(before, model.get_weights(), strict=True):
        numpy.testing.assert_array_equal(old, new)


@pytest.fixture
def bench(small_net, images):
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


@pytest.mark.parametrize("name", dare.VARIANTS)
def test_a_variant_leaves_what_it_must_leave(bench, name):
    model, targets, x, y, slices = bench
    variant = dare.VARIANTS[name]
    before = {variable.path: numpy.array(keras.ops.convert_to_numpy(variable)) for variable in model.weights}
    first_tuned = "conv2" if variant.through == "classifier" else None
    dare.improve(model, variant, targets, x, y, slices=slices, learning_rate=0.01, seed=0, frozen_below=first_tuned)
    after = {variable.path: numpy.array(keras.ops.convert_to_numpy(variable)) for variable in model.weights}
    changed = {path.split("/")[-2] for path in before if not numpy.array_equal(before[path], after[path])}
    if variant.through == "regression":
        assert "dense1" not in changed and "logits" not in changed
        assert {"conv1", "conv2", "bn1"} <= changed
        statistics = [path for path in before if "moving" in path]
        assert all(numpy.array_equal(before[path], after[path]) for path in statistics)
    else:
        assert changed == {"conv2", "dense1", "logits"}
    if variant.combine:
        for layer in ("conv1", "conv2"):
            kernel = next(path for path in before if path.endswith(f"{layer}/kernel"))
            frozen = ~slices.mask(layer, variant.combine)
            numpy.testing.assert_array_equal(before[kernel][:, :, frozen], after[kernel][:, :, frozen])
            assert (before[kernel][:, :, ~frozen] != after[kernel][:, :, ~frozen]).any() or frozen.all()


def test_tuning_lowers_the_loss_and_repeats_to_the_bit(bench):
    model, targets, x, _, _ = bench
    made = [dare.tune(model, targets, x, steps=30, learning_rate=1e-3, seed=1) for _ in range(2)]
    assert models.fingerprint(made[0]) == models.fingerprint(made[1]) != models.fingerprint(model)

    def loss(one):
        inner = compute.predict(compute.forward(transform.transform(one)), x, prepare=data.to_unit)
        return ((inner[targets.index] - targets.activation) ** 2).mean()

    assert loss(made[0]) < 0.8 * loss(model)


def test_lazy_targets_tune_to_the_same_bits(tmp_path, bench):
    import h5py

    model, targets, x, _, _ = bench
    with h5py.File(tmp_path / "activation.h5", "w") as file:
        file["activation"] = targets.activation
        lazy = get_ats.Targets(index=targets.index, epoch=targets.epoch, activation=file["activation"], layer="conv2")
        made = [dare.tune(model, one, x, steps=3, learning_rate=1e-3, seed=1) for one in (targets, lazy)]
    assert models.fingerprint(made[0]) == models.fingerprint(made[1])


def test_what_does_not_belong_together_is_refused(bench):
    model, targets, x, _, _ = bench
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
    with pytest.raises(ArithmeticError, match="learning rate below"):
        dare.tune(model, targets, x, learning_rate=1e30)
    shape = get_ats.Targets(index=targets.index, epoch=targets.epoch, activation=targets.activation, layer="conv1")
    with pytest.raises(ValueError, match="mine them at the same layer"):
        dare.tune(model, shape, x)
    model.set_weights([weight + 1 for weight in model.get_weights()])
    with pytest.raises(ValueError, match="mined for another model"):
        dare.tune(model, targets, x)


def test_weight_noise_has_the_norm_of_the_change_and_its_places():
    generator = numpy.random.default_rng(0)
    original = [generator.normal(size=(5, 4)).astype("float32"), generator.normal(size=3).astype("float32")]
    tuned = [original[0] + generator.normal(size=(5, 4)).astype("float32"), original[1].copy()]
    tuned[0][2] = original[0][2]
    noisy = controls.weight_noise(original, tuned, seed=1)
    numpy.testing.assert_array_equal(noisy[1], original[1])
    numpy.testing.assert_array_equal(noisy[0][2], original[0][2])
    sizes = [numpy.linalg.norm(weights[0] - original[0]) for weights in (noisy, tuned)]
    assert sizes[0] == pytest.approx(sizes[1], rel=1e-5)
    assert not numpy.array_equal(noisy[0], controls.weight_noise(original, tuned, seed=2)[0])


def test_logit_noise_moves_the_logits_as_far_as_tuning(bench):
    model, targets, x, _, _ = bench
    original = model.get_weights()
    tuned = dare.tune(model, targets, x, steps=10, learning_rate=1e-2, seed=0).get_weights()
    noisy = controls.logit_noise(model, original, tuned, x, seed=0)

    def logits(weights):
        model.set_weights(weights)
        return compute.predict(compute.forward(model), x, prepare=data.to_unit)

    change = [numpy.linalg.norm(logits(weights) - logits(original), axis=1).mean() for weights in (noisy, tuned)]
    assert change[0] == pytest.approx(change[1], rel=0.05)


def test_checkpoint_and_swa_are_what_the_history_holds(tmp_path, small_net, images):
    history = History(tmp_path)
    generator = numpy.random.default_rng(0)
    kept = []
    for epoch in range(1, 6):
        small_net.set_weights([w + generator.random(w.shape).astype(w.dtype) for w in small_net.get_weights()])
        kept.append(small_net.get_weights())
        history.save(small_net, epoch, [0.0], [0])
    for found, expected in zip(controls.checkpoint(small_net, history), kept[2], strict=True):
        numpy.testing.assert_array_equal(found, expected)
    averaged = controls.swa(small_net, history, images[0])
    places = [index for index, variable in enumerate(small_net.weights) if "moving" not in variable.path]
    for place in places:
        numpy.testing.assert_allclose(averaged[place], numpy.mean([w[place] for w in kept[2:]], 0), rtol=1e-5)
    layer = small_net.get_layer("bn1")
    received = compute.predict(compute.forward(keras.Model(small_net.input, layer.input)), data.to_unit(images[0]))
    numpy.testing.assert_allclose(numpy.asarray(layer.moving_mean), received.mean((0, 1, 2)), rtol=1e-3)
