"""Augmentation, recipes, the history's files, exact resume, fine-tuning and batch-norm statistics."""

import contextlib
import dataclasses

import keras
import numpy
import pytest

import data
import models
from models import compute
from train import augment, batch_norm, fine_tune, history, params
from train.fit import fit

RECIPE = params.Recipe(learning_rates=(0.05, 0.01), milestones=(0.5,), batch_size=8, shift=0.1, fill="constant")


def weights_of(recorded, epoch):
    model = recorded.architecture()
    recorded.load_weights(model, epoch)
    return models.fingerprint(model)


@pytest.mark.parametrize("fill", ["constant", "nearest"])
def test_a_shift_moves_whole_pixels(fill):
    x = numpy.random.default_rng(0).integers(1, 256, (50, 9, 9, 1), dtype="uint8")
    moved = augment.augment(x, numpy.random.default_rng(1), flip=False, shift=0.25, fill=fill)
    mode = {"constant": "constant", "nearest": "edge"}[fill]
    padded = numpy.pad(x, ((0, 0), (2, 2), (2, 2), (0, 0)), mode=mode)
    for image, result in zip(padded, moved, strict=True):
        assert any((image[i : i + 9, j : j + 9] == result).all() for i in range(5) for j in range(5))


def test_half_of_the_images_are_mirrored():
    x = numpy.arange(200 * 6, dtype="uint8").reshape(200, 1, 6, 1)
    moved = augment.augment(x, numpy.random.default_rng(0), flip=True, shift=0, fill="constant")
    mirrored = (moved == x[:, :, ::-1]).all((1, 2, 3))
    assert ((moved == x).all((1, 2, 3)) != mirrored).all()
    assert 70 < mirrored.sum() < 130


def test_the_recipe_changes_rates_where_the_paper_does():
    recipe = params.recipe("alexnet")
    rates = [recipe.learning_rate(epoch, 200) for epoch in (1, 80, 81, 160, 161, 200)]
    assert rates == [0.01, 0.01, 0.005, 0.005, 0.001, 0.001]


def test_small_images_train_vgg_by_alexnet_s_recipe():
    assert params.recipe("vgg16", (28, 28, 1)) == params.recipe("alexnet")
    assert params.recipe("vgg19", (32, 32, 3)).learning_rate(61, 200) == 0.002


@pytest.mark.backends
@pytest.mark.parametrize("keep", ["all", "last"])
def test_training_continues_to_the_same_bits(tmp_path, small_net, split, keep):
    start = small_net.get_weights()
    whole = fit(small_net, split, recipe=RECIPE, history=tmp_path / "whole", seed=3, epochs=4)
    other = keras.models.clone_model(small_net)
    other.set_weights(start)

    class Killed(Exception):
        pass

    def kill(done, total, note):
        if "epoch 3/4" in note:
            raise Killed

    with pytest.raises(Killed):
        fit(other, split, recipe=RECIPE, history=tmp_path / "cut", seed=3, epochs=4, keep=keep, progress=kill)
    fresh = keras.models.clone_model(small_net)
    cut = fit(fresh, split, recipe=RECIPE, history=tmp_path / "cut", seed=3, epochs=4, keep=keep)
    assert cut.epochs == whole.epochs == [1, 2, 3, 4]
    assert cut.stored == ([4] if keep == "last" else cut.epochs)
    for epoch in cut.stored:
        assert weights_of(cut, epoch) == weights_of(whole, epoch)
    numpy.testing.assert_array_equal(cut.log_probability, whole.log_probability)
    assert len(list((tmp_path / "cut").glob("*.optimizer.h5"))) == 1


def test_the_record_is_what_the_saved_weights_give(tmp_path, small_net, split):
    recorded = fit(small_net, split, recipe=RECIPE, history=tmp_path, seed=0, epochs=2)
    model = recorded.architecture()
    recorded.load_weights(model, 1)
    logits = numpy.asarray(model(data.to_unit(split.x_validation), training=False), "float64")
    naive = logits - numpy.log(numpy.exp(logits).sum(1, keepdims=True))
    numpy.testing.assert_allclose(recorded.log_probability[0], naive[range(len(naive)), split.y_validation], atol=1e-5)
    numpy.testing.assert_array_equal(recorded.prediction[0], logits.argmax(1))


def test_a_checkpoint_takes_four_bytes_a_parameter(tmp_path):
    inputs = keras.Input((50,))
    model = keras.Model(inputs, keras.layers.Dense(3)(keras.layers.Dense(20_000)(inputs)))
    history.History(tmp_path).save(model, 1, [0.0], [1])
    assert 4 <= (tmp_path / "epoch-0001.weights.h5").stat().st_size / model.count_params() < 4.1


def test_a_nan_loss_keeps_the_epochs_before(tmp_path, small_net, split):
    broken = dataclasses.replace(RECIPE, learning_rates=(0.05, 1e30))
    with pytest.raises(ArithmeticError, match="epoch 3.*up to 2 are kept"):
        fit(small_net, split, recipe=broken, history=tmp_path, seed=0, epochs=4)
    assert history.History(tmp_path).epochs == [1, 2]


def test_a_history_is_continued_as_it_was_begun(tmp_path, small_net, split):
    fit(small_net, split, recipe=RECIPE, history=tmp_path, seed=0, epochs=2)
    with pytest.raises(ValueError, match="this history has seed 0, not 1"):
        fit(small_net, split, recipe=RECIPE, history=tmp_path, seed=1, epochs=2)
    with pytest.raises(ValueError, match="this history has epochs 2, not 3"):
        fit(small_net, split, recipe=RECIPE, history=tmp_path, seed=0, epochs=3)


def test_a_twin_takes_the_steps_and_the_model_is_recorded(tmp_path, small_net, split):
    start = small_net.get_weights()
    alone = fit(small_net, split, recipe=RECIPE, history=tmp_path / "alone", seed=0, epochs=3)
    settings = {"recipe": RECIPE, "history": tmp_path / "twin", "seed": 0, "epochs": 3}

    def stop(recorded):
        if recorded.last == 2:
            raise KeyboardInterrupt

    for on_epoch, ends in ((stop, pytest.raises(KeyboardInterrupt)), (None, contextlib.nullcontext())):
        model, twin = keras.models.clone_model(small_net), keras.models.clone_model(small_net)
        model.set_weights(start)
        with ends:
            made = fit(model, split, **settings, twin=twin, on_epoch=on_epoch)
    numpy.testing.assert_array_equal(made.log_probability, alone.log_probability)
    assert [weights_of(made, epoch) for epoch in made.epochs] == [weights_of(alone, epoch) for epoch in alone.epochs]


def test_records_of_a_twin_in_bfloat16_are_float32(tmp_path, split):
    model, twin = (models.build("preact_resnet18@0.05", (12, 12, 2), 3, precision=name) for name in models.PRECISIONS)
    recorded = fit(model, split, recipe=RECIPE, history=tmp_path, seed=0, epochs=2, twin=twin)
    saved = recorded.architecture()
    recorded.load_weights(saved, 2)
    assert {layer.compute_dtype for layer in saved.layers} == {"float32"}
    assert "bfloat16" in {layer.compute_dtype for layer in twin.layers}
    logits = numpy.asarray(saved(data.to_unit(split.x_validation), training=False), "float64")
    naive = logits - numpy.log(numpy.exp(logits).sum(1, keepdims=True))
    numpy.testing.assert_allclose(recorded.log_probability[1], naive[range(len(naive)), split.y_validation], atol=1e-5)


def test_retention_keeps_what_mining_reads(tmp_path, small_net, split):
    recorded = fit(small_net, split, recipe=RECIPE, history=tmp_path, seed=0, epochs=6, keep="second-half")
    assert recorded.epochs == [1, 2, 3, 4, 5, 6]
    assert recorded.stored == [3, 4, 5, 6]


def test_an_epoch_is_observed_before_it_is_recorded(tmp_path, small_net, split):
    seen = {}

    def observe(model, epoch, log_probability, prediction):
        assert history.History(tmp_path).last == epoch - 1
        seen[epoch] = models.fingerprint(model), log_probability, prediction

    recorded = fit(small_net, split, recipe=RECIPE, history=tmp_path, seed=0, epochs=3, observe=observe)
    with pytest.raises(ValueError, match="keep is 'some'; expected one of all, second-half, last"):
        fit(small_net, split, recipe=RECIPE, history=tmp_path, seed=0, epochs=3, keep="some")
    for epoch, (weights, log_probability, prediction) in seen.items():
        assert weights == weights_of(recorded, epoch)
        numpy.testing.assert_array_equal(log_probability, recorded.record(epoch)[0])
        numpy.testing.assert_array_equal(prediction, recorded.record(epoch)[1])
    assert list(seen) == [1, 2, 3]


@pytest.mark.parametrize("damage", ["cut", "foreign", "other"])
def test_damaged_weights_are_named(tmp_path, small_net, damage):
    recorded = history.History(tmp_path)
    recorded.save(small_net, 1, [0.0], [1])
    path = recorded.file(1, "weights")
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:1000])
    elif damage == "foreign":
        path.write_text("not weights")
    else:
        inputs = keras.Input((4,))
        keras.Model(inputs, keras.layers.Dense(2)(inputs)).save_weights(path)
    with pytest.raises(ValueError, match="epoch-0001"):
        recorded.load_weights(small_net, 1)


def test_an_epoch_without_record_does_not_exist(tmp_path, small_net):
    recorded = history.History(tmp_path)
    recorded.save(small_net, 1, [0.0], [1])
    recorded.save(small_net, 2, [0.0], [1])
    recorded.file(2, "record").unlink()
    assert recorded.epochs == [1] and recorded.last == 1
    with pytest.raises(FileNotFoundError, match="stored epochs: 1, 2"):
        recorded.load_weights(small_net, 3)


def naive_adam(weight, gradients, rate):
    first, second, result = 0.0, 0.0, weight.astype("float64")
    for step, gradient in enumerate(gradients, 1):
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient**2
        scaled = rate * numpy.sqrt(1 - 0.999**step) / (1 - 0.9**step)
        result = result - scaled * first / (numpy.sqrt(second) + 1e-7)
    return result


@pytest.mark.backends
def test_fine_tuning_is_adam_on_the_drawn_batches():
    inputs = keras.Input((2, 2, 1))
    model = keras.Model(inputs, keras.layers.Dense(1, use_bias=False)(keras.layers.Flatten()(inputs)))
    generator = numpy.random.default_rng(0)
    x, t = generator.random((20, 2, 2, 1), "float32"), generator.random((20, 1), "float32")
    weight = model.get_weights()[0]
    rows = [numpy.random.default_rng(7).integers(20, size=5)]
    gradient = (2 * (x[rows[0]].reshape(5, 4) @ weight - t[rows[0]]) * x[rows[0]].reshape(5, 4)).mean(0)[:, None]
    fine_tune.fine_tune(
        model, x, t, loss=lambda a, b: ((a - b) ** 2)[:, 0], learning_rate=0.1, batch_size=5, seed=7, steps=1
    )
    numpy.testing.assert_allclose(model.get_weights()[0], naive_adam(weight, [gradient], 0.1), rtol=1e-4)


@pytest.mark.backends
def test_frozen_layers_stay_and_thaw(small_net, images):
    x, y = images
    before = small_net.get_weights()
    with fine_tune.frozen_below(small_net, "conv2"):
        fine_tune.fine_tune(
            small_net,
            x,
            y.astype("int32"),
            loss=lambda a, b: a[:, 0],
            learning_rate=0.1,
            batch_size=8,
            seed=0,
            epochs=1,
        )
    after = small_net.get_weights()
    unchanged = [numpy.array_equal(old, new) for old, new in zip(before, after, strict=True)]
    assert unchanged[:6] == [True] * 6
    assert not unchanged[6]
    assert all(layer.trainable for layer in small_net.layers)
    with pytest.raises(ValueError, match="no layer 'conv9'.*conv1"), fine_tune.frozen_below(small_net, "conv9"):
        pass


@pytest.mark.backends
def test_batch_norm_statistics_are_the_population_s(small_net, images):
    x = data.to_unit(images[0])
    batch_norm.reestimate(small_net, x, batch_size=10)
    layer = small_net.get_layer("bn1")
    received = compute.predict(compute.forward(keras.Model(small_net.input, layer.input)), x).astype("float64")
    numpy.testing.assert_allclose(numpy.asarray(layer.moving_mean), received.mean((0, 1, 2)), atol=1e-5)
    numpy.testing.assert_allclose(numpy.asarray(layer.moving_variance), received.var((0, 1, 2)), atol=1e-5)


def test_tensorboard_holds_every_epoch(tmp_path, small_net, split):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    from train import tensorboard

    log = tensorboard.logger(tmp_path / "log")
    recorded = fit(small_net, split, recipe=RECIPE, history=tmp_path / "history", seed=0, epochs=2, on_epoch=log)
    events = EventAccumulator(str(tmp_path / "log"))
    events.Reload()
    logged = [event.tensor_proto.float_val[0] for event in events.Tensors("loss")]
    assert logged == pytest.approx([recorded.record(epoch)[2]["loss"] for epoch in (1, 2)])


@pytest.mark.parametrize(("classes", "dtype"), [(10, "uint8"), (256, "uint8"), (257, "uint16"), (1000, "uint16")])
def test_predictions_are_kept_in_the_smallest_type_that_holds_the_classes(classes, dtype, tmp_path):
    inputs = keras.Input((2, 2, 1))
    model = keras.Model(inputs, keras.layers.Dense(classes)(keras.layers.Flatten()(inputs)))
    model.layers[-1].bias.assign(numpy.arange(classes, dtype="float32"))  # the last class is the answer
    confidence = history.confidence(model, numpy.zeros((3, 2, 2, 1), "float32"), numpy.array([0, 1, classes - 1]))
    recorded = history.History(tmp_path / "history")
    recorded.save(model, 1, *confidence)
    assert recorded.prediction.dtype == dtype and (recorded.prediction == classes - 1).all()


@pytest.mark.parametrize("name", models.MODELS)
def test_logits_are_float32_whatever_the_precision(name):
    model = models.build(f"{name}@0.05", (32, 32, 3), 10, precision="bfloat16")
    assert {layer.compute_dtype for layer in model.layers[1:]} >= {"bfloat16", "float32"}
    assert model.output.dtype == "float32"


def test_an_epoch_whose_record_is_lost_is_named(tmp_path, small_net):
    recorded = history.History(tmp_path)
    for epoch in (1, 2, 3):
        recorded.save(small_net, epoch, numpy.zeros(4), numpy.zeros(4))
    recorded.file(2, "record").unlink()
    with pytest.raises(ValueError, match=r"epoch-0002\.record\.h5: is gone, but later epochs are there"):
        recorded.final_model()
    recorded.file(3, "record").unlink()
    assert recorded.epochs == [1]
