"""The weights of each control, against closed forms, the files of the history, and the logits."""

import dataclasses

import keras
import numpy
import pytest

import data
import models
from dare import controls, dare, get_ats
from models import compute, perturb
from train.history import History


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


def test_logit_noise_moves_the_logits_as_far_as_tuning(cell):
    model, targets, x = cell.model, cell.targets, cell.x
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
    saved = []
    for epoch in range(1, 6):
        small_net.set_weights([w + generator.random(w.shape).astype(w.dtype) for w in small_net.get_weights()])
        saved.append(small_net.get_weights())
        history.save(small_net, epoch, [0.0], [0])
    for array, expected in zip(controls.checkpoint(small_net, history), saved[2], strict=True):
        numpy.testing.assert_array_equal(array, expected)
    averaged = controls.swa(small_net, history, images[0])
    places = [index for index, variable in enumerate(small_net.weights) if "moving" not in variable.path]
    for place in places:
        numpy.testing.assert_allclose(averaged[place], numpy.mean([w[place] for w in saved[2:]], 0), rtol=1e-5)
    layer = small_net.get_layer("bn1")
    received = compute.predict(compute.forward(keras.Model(small_net.input, layer.input)), data.to_unit(images[0]))
    numpy.testing.assert_allclose(numpy.asarray(layer.moving_mean), received.mean((0, 1, 2)), rtol=1e-3)


def test_negated_is_twice_the_original_minus_the_tuned():
    generator = numpy.random.default_rng(0)
    original, tuned = ([generator.normal(size=shape).astype("float32") for shape in ((5, 4), (3,))] for _ in range(2))
    tuned[1] = original[1]
    negated = controls.negated(original, tuned)
    for before, after, array in zip(original, tuned, negated, strict=True):
        assert array.dtype == before.dtype
        numpy.testing.assert_allclose(array, 2 * before - after, atol=1e-6)
    numpy.testing.assert_array_equal(negated[1], original[1])
    assert controls.relative_change(original, negated) == pytest.approx(controls.relative_change(original, tuned))


def test_the_relative_change_is_a_ratio_of_norms():
    generator = numpy.random.default_rng(0)
    original, tuned = ([generator.normal(size=shape).astype("float32") for shape in ((5, 4), (3,))] for _ in range(2))
    flat = [numpy.concatenate([array.ravel() for array in arrays]) for arrays in (original, tuned)]
    expected = numpy.linalg.norm(flat[1] - flat[0]) / numpy.linalg.norm(flat[0])
    assert controls.relative_change(original, tuned) == pytest.approx(expected, rel=1e-6)
    assert controls.relative_change(original, original) == 0
    assert controls.relative_change([numpy.zeros(3)], [numpy.zeros(3)]) == 0


@pytest.mark.filterwarnings("ignore:Skipping nested container")
def test_other_seed_is_the_final_model_of_the_other_history(tmp_path, cell):
    other = History(tmp_path / "other")
    generator = numpy.random.default_rng(5)
    for epoch in (1, 2):
        cell.model.set_weights([generator.random(w.shape).astype(w.dtype) for w in cell.model.get_weights()])
        other.save(cell.model, epoch, [0.0], [0])
    weights = cell.model.get_weights()
    cell.history.load_weights(cell.model, 6)
    for array, expected in zip(controls.other_seed(cell.model, other), weights, strict=True):
        numpy.testing.assert_array_equal(array, expected)
    inputs = keras.Input((12, 12, 2))
    wider = keras.Model(inputs, keras.layers.Dense(3, name="logits")(keras.layers.Flatten()(inputs)))
    other.save(wider, 3, [0.0], [0])
    with pytest.raises(ValueError, match="cannot be loaded into small"):
        controls.other_seed(cell.model, other)


def test_tune_clean_lowers_the_loss_on_labels_and_leaves_the_statistics(cell):
    statistics = [variable for variable in cell.model.weights if "moving" in variable.path]
    before = [numpy.array(keras.ops.convert_to_numpy(variable)) for variable in statistics]

    def loss():
        logits = compute.predict(compute.forward(cell.model), cell.x, prepare=data.to_unit)
        return float(keras.ops.mean(perturb.cross_entropy(logits, cell.y.astype("int32"))))

    first = loss()
    controls.tune_clean(cell.model, cell.x, cell.y, steps=20, batch_size=16, learning_rate=1e-3, seed=0)
    assert loss() < first
    for old, variable in zip(before, statistics, strict=True):
        numpy.testing.assert_array_equal(old, keras.ops.convert_to_numpy(variable))


@pytest.fixture
def context(cell):
    """The context of every control; the other history is the cell's own."""
    original = cell.model.get_weights()
    tuned = [array + numpy.float32(0.01) * (array.ndim > 1) for array in original]
    return controls.Context(
        model=cell.model,
        original=original,
        history=cell.history,
        x_train=cell.x,
        sample=cell.x,
        x_validation=cell.x,
        y_validation=cell.y,
        tuned=tuned,
        budget={"steps": 3, "batch_size": 8, "learning_rate": 1e-3},
        other=cell.history,
        seed=1,
    )


def test_every_control_makes_weights_and_changes_nothing_that_it_is_given(context):
    original = [array.copy() for array in context.original]
    for name, control in controls.CONTROLS.items():
        assert controls.TITLES[name] == control.title
        for epoch in control.epochs(context.history) if control.epochs else [None]:
            context.model.set_weights(context.original)
            weights = control.make(dataclasses.replace(context, epoch=epoch))
            assert [array.shape for array in weights] == [array.shape for array in original]
            assert all(numpy.isfinite(array).all() for array in weights)
            assert name == "other-seed" or controls.relative_change(context.original, weights) > 0
        for array, before in zip(context.original, original, strict=True):
            numpy.testing.assert_array_equal(array, before)


def test_checkpoints_are_the_mined_epochs_and_checkpoint_one_of_them(context):
    epochs = controls.CONTROLS["checkpoints"].epochs(context.history)
    assert epochs == get_ats.second_half(context.history) == [3, 4, 5]
    assert controls.CONTROLS["checkpoint"].epochs(context.history) == [4]
    digests = set()
    for epoch in epochs:
        weights = controls.CONTROLS["checkpoints"].make(dataclasses.replace(context, epoch=epoch))
        context.history.load_weights(context.model, epoch)
        for array, expected in zip(weights, context.model.get_weights(), strict=True):
            numpy.testing.assert_array_equal(array, expected)
        digests.add(models.fingerprint(context.model))
    assert len(digests) == 3
