"""Mining against a plain loop over images and epochs; ties, other models, files, streaming."""

import pathlib
import shutil

import keras
import numpy
import pytest
import scipy.special

import data
import models
from dare import dare, epoch_choice, get_ats, transform
from models import compute
from train import checkpoints
from train.history import History, confidence

pytestmark = pytest.mark.backends


def naive_choice(log_probability, prediction, epochs, y, final):
    """The rule in plain loops: image by image, epoch by ascending epoch."""
    chosen = []
    for sample, label in enumerate(y):
        best, chosen_epoch = final[0][sample], 0
        for row, epoch in enumerate(epochs):
            if log_probability[row, sample] > best and (final[1][sample] == label or prediction[row, sample] == label):
                best, chosen_epoch = log_probability[row, sample], epoch
        chosen.append(chosen_epoch)
    return numpy.array(chosen)


@pytest.mark.parametrize("seed", range(20))
def test_the_choice_equals_the_loop_with_many_ties(seed):
    generator = numpy.random.default_rng(seed)
    epochs, samples, classes = 6, 200, 3
    log_probability = generator.integers(-4, 1, (epochs, samples)).astype("float32")
    prediction = generator.integers(0, classes, (epochs, samples)).astype("uint8")
    y = generator.integers(0, classes, samples)
    final = (
        generator.integers(-3, 1, samples).astype("float32"),
        generator.integers(0, classes, samples).astype("uint8"),
    )
    numbers = list(range(3, 3 + epochs))
    chosen = epoch_choice.most_confident(log_probability, prediction, numbers, y, *final)
    numpy.testing.assert_array_equal(chosen, naive_choice(log_probability, prediction, numbers, y, final))
    assert 0 < (chosen > 0).sum() < samples


def test_the_first_epoch_wins_a_tie_and_a_tie_with_the_final_model_is_no_gain():
    tie = numpy.float32([[-1, -2], [-1, -2]])
    correct = numpy.zeros((2, 2), "uint8")
    chosen = epoch_choice.most_confident(tie, correct, [5, 6], numpy.zeros(2), numpy.float32([-2, -2]), correct[0])
    numpy.testing.assert_array_equal(chosen, [5, 0])


def test_a_sample_that_the_final_model_misclassifies_needs_a_correct_epoch():
    history = numpy.float32([[-0.1], [-0.5]])
    prediction = numpy.uint8([[1], [0]])
    final = numpy.float32([-2]), numpy.uint8([1])
    chosen = epoch_choice.most_confident(history, prediction, [3, 4], numpy.array([0]), *final)
    numpy.testing.assert_array_equal(chosen, [4])


@pytest.mark.parametrize("classes", [2, 10])
def test_saturated_epochs_are_ordered_as_in_exact_arithmetic(classes):
    """Confidences of a net whose logits are its input; the label's logit leads by 18 to 40."""
    generator = numpy.random.default_rng(classes)
    inputs = keras.Input((1, classes, 1))
    model = keras.Model(inputs, keras.layers.Rescaling(100.0)(keras.layers.Flatten()(inputs)))
    y = generator.integers(0, classes, 500)
    epochs, log_probability, prediction, exact = range(1, 8), [], [], []
    for _ in epochs:
        x = generator.random((500, 1, classes, 1), dtype="float32") * 0.1
        x[numpy.arange(500), 0, y, 0] = 0.1 + generator.uniform(0.18, 0.4, 500)
        record = confidence(model, x, y)
        log_probability.append(record[0])
        prediction.append(record[1])
        logits = compute.predict(compute.forward(model), x).astype(float)
        others = numpy.where(numpy.arange(classes) == y[:, None], -numpy.inf, logits)
        exact.append(-numpy.log1p(numpy.exp(scipy.special.logsumexp(others, axis=1) - logits[numpy.arange(500), y])))
    numpy.testing.assert_allclose(log_probability, exact, rtol=1e-5)
    log_probability, prediction, exact = map(numpy.array, (log_probability, prediction, exact))
    final = log_probability[-1], prediction[-1]
    chosen = epoch_choice.most_confident(log_probability[:-1], prediction[:-1], epochs[:-1], y, *final)
    expected = naive_choice(exact[:-1], prediction[:-1], epochs[:-1], y, (exact[-1], prediction[-1]))
    numpy.testing.assert_array_equal(chosen, expected)
    assert 0.5 < (chosen > 0).mean() < 1


@pytest.fixture
def mined(cell):
    """A history of six random models: (final model, history, x, y)."""
    return cell.model, cell.history, cell.x, cell.y


def naive_targets(model, history, x, y, layer):
    """Load every checkpoint, run every image through it, choose the epoch, and take its activation."""
    probabilities, predictions, activations = [], [], []
    for epoch in [3, 4, 5, 6]:
        history.load_weights(model, epoch)
        probe = keras.Model(model.input, model.get_layer(layer).output)
        activations.append(numpy.asarray(probe(data.to_unit(x), training=False)))
        log_probability, prediction = confidence(model, x, y)
        probabilities.append(log_probability)
        predictions.append(prediction)
    final = probabilities[3], predictions[3]
    chosen = naive_choice(numpy.stack(probabilities[:3]), numpy.stack(predictions[:3]), [3, 4, 5], y, final)
    index = sorted(numpy.flatnonzero(chosen), key=lambda sample: (chosen[sample], sample))
    return index, chosen[index], numpy.stack([activations[chosen[sample] - 3][sample] for sample in index])


@pytest.mark.parametrize("recorded", [True, False])
@pytest.mark.parametrize("stored", [True, False])
def test_mining_equals_evaluating_everything(tmp_path, mined, recorded, stored):
    model, history, x, y = mined
    before = models.fingerprint(model)
    path = tmp_path / "targets.h5" if stored else None
    targets = get_ats.mine_history(model, history, x, y, recorded=recorded, path=path, batch_size=7)
    assert models.fingerprint(model) == before
    assert targets.layer == "conv2"
    index, epoch, activation = naive_targets(model, history, x, y, "conv2")
    numpy.testing.assert_array_equal(targets.index, index)
    numpy.testing.assert_array_equal(targets.epoch, epoch)
    numpy.testing.assert_allclose(targets.activation[:], activation, atol=1e-5)
    assert (targets.gain > 0).all()


def test_stored_targets_are_read_back(tmp_path, mined):
    in_memory = get_ats.mine_history(*mined)
    get_ats.mine_history(*mined, path=tmp_path / "targets.h5")
    read = get_ats.Targets.load(tmp_path / "targets.h5")
    numpy.testing.assert_array_equal(read.activation[:], in_memory.activation)
    assert (read.layer, read.model, read.data) == (in_memory.layer, in_memory.model, in_memory.data)


@pytest.mark.parametrize("layer", ["conv2", "dense1"])
def test_recorded_evaluated_streamed_and_plain_checkpoints_give_the_same_bits(tmp_path, mined, layer):
    model, history, x, y = mined
    plain = tmp_path / "plain"
    plain.mkdir()
    for epoch in history.epochs:
        shutil.copy(history.file(epoch, "weights"), plain / f"net_{epoch}.weights.h5")
    targets = get_ats.mine_history(*mined, layer=layer)
    for other in (
        get_ats.mine_history(*mined, layer=layer, recorded=False),
        get_ats.mine_history(*mined, layer=layer, path=tmp_path / "targets.h5"),
        get_ats.mine_history(model, checkpoints.Checkpoints(plain), x, y, layer=layer, recorded=False),
    ):
        for name in ("index", "epoch", "gain", "activation"):
            numpy.testing.assert_array_equal(getattr(other, name)[:], getattr(targets, name))
        assert (other.layer, other.model, other.data) == (targets.layer, targets.model, targets.data)


@pytest.mark.parametrize("layer", ["conv2", "dense1"])
def test_the_bits_of_an_activation_depend_on_nothing_but_its_image(small_net, layer):
    generator = numpy.random.default_rng(0)
    x = generator.integers(0, 256, (200, 12, 12, 2), dtype="uint8")
    run = compute.forward(transform.transform(small_net, layer))
    every = get_ats.activations(run, x, numpy.arange(200))
    numpy.testing.assert_allclose(every, compute.predict(run, x, prepare=data.to_unit), rtol=1e-5, atol=1e-6)
    for count in (1, 2, 63, 64, 65, 130):
        rows = generator.permutation(200)[:count]
        numpy.testing.assert_array_equal(get_ats.activations(run, x, rows), every[rows])


def test_a_smallest_gain_drops_the_others(mined):
    every = get_ats.mine_history(*mined)
    floor = float(numpy.median(every.gain))
    some = get_ats.mine_history(*mined, min_gain=floor)
    numpy.testing.assert_array_equal(some.index, every.index[every.gain >= floor])


def test_nothing_to_mine_is_said(tmp_path, small_net, images):
    x, y = images
    history = History(tmp_path)
    for epoch in (1, 2, 3):
        history.save(small_net, epoch, *confidence(small_net, x, y))
    with pytest.raises(ValueError, match="no sample has an older epoch more confident"):
        get_ats.mine_history(small_net, history, x, y)


def test_a_history_of_other_images_or_another_model_is_refused(mined):
    model, history, x, y = mined
    with pytest.raises(ValueError, match="recorded 48 samples, but 40 images"):
        get_ats.mine_history(model, history, x[:40], y[:40])
    history.load_weights(model, 2)
    with pytest.raises(ValueError, match="another model"):
        get_ats.mine_history(model, history, x, y)


def test_what_does_not_belong_together_is_refused_in_one_sentence(tmp_path, mined):
    model, history, x, y = mined
    inputs = keras.Input((12, 12, 2))
    x_other = keras.layers.Flatten()(keras.layers.Conv2D(2, 3)(inputs))
    other = keras.Model(inputs, keras.layers.Dense(3)(x_other), name="other")
    hidden = keras.Model(model.inputs, keras.layers.Lambda(keras.ops.softmax)(model.outputs[0]))
    shutil.copytree(history.path, tmp_path / "cut")
    cut = History(tmp_path / "cut")
    cut.file(4, "weights").write_bytes(cut.file(4, "weights").read_bytes()[:2000])
    shutil.copytree(history.path, tmp_path / "dropped")
    dropped = History(tmp_path / "dropped")
    for epoch in (3, 4):
        dropped.drop_weights(epoch)
    for arguments, options, sentence in (
        ((model, history, x[:, :9], y), {}, "images have shape (48, 9, 12, 2), expected (N, 12, 12, 2)"),
        ((model, history, x, y + 1), {}, "labels range from 1 to 3, expected 0 to 2"),
        ((model, history, x, y[:-1]), {}, "labels are int64 of shape (47,), expected integers of shape (48,)"),
        ((model, history, x[::-1], y[::-1]), {"recorded": False}, "recorded other confidences"),
        ((model, history, x, y), {"epochs": [3, 9]}, "has no epoch 9; it has 1, 2, 3, 4, 5, 6"),
        ((model, history, x, y), {"epochs": [0]}, "has no epoch 0"),
        ((model, history, x, y), {"epochs": [3.0]}, "epochs are [3.0], expected whole numbers"),
        ((model, history, x, y), {"min_gain": float("nan")}, "min_gain is nan, expected a number"),
        ((model, history, x, y), {"min_gain": "a"}, "min_gain is 'a', expected a number"),
        ((hidden, history, x, y), {}, "outputs are probabilities (rows of numbers"),
        ((other, history, x, y), {}, "cannot be loaded into other"),
        ((model, cut, x, y), {"recorded": False}, "epoch-0004.weights.h5"),
        ((model, dropped, x, y), {}, "the weights of epoch 3, 4 are not kept: train with --keep second-half"),
        ((model, checkpoints.Checkpoints(history.path), x, y), {}, "mine with recorded=False"),
    ):
        before = arguments[0].get_weights()
        with pytest.raises(ValueError) as caught:
            get_ats.mine_history(*arguments, **options)
        assert sentence in str(caught.value) and "\n" not in str(caught.value)
        for weights, now in zip(before, arguments[0].get_weights(), strict=True):
            numpy.testing.assert_array_equal(weights, now)


@pytest.mark.parametrize("kind", [str, pathlib.Path])
def test_a_history_is_given_by_its_path_too(tmp_path, mined, kind):
    model, history, x, y = mined
    expected = get_ats.mine_history(model, history, x, y, layer="conv2")
    by_path = get_ats.mine_history(model, kind(history.path), x, y, layer="conv2")
    for epoch in history.epochs:
        shutil.copy(history.file(epoch, "weights"), tmp_path / f"own-{epoch}.weights.h5")
    own = get_ats.mine_history(model, kind(tmp_path), x, y, layer="conv2", batch_size=48)
    for targets in (by_path, own):
        numpy.testing.assert_array_equal(targets.index, expected.index)
        numpy.testing.assert_array_equal(targets.epoch, expected.epoch)
        numpy.testing.assert_array_equal(targets.activation, expected.activation)
    with pytest.raises(FileNotFoundError, match="nowhere: no checkpoints"):
        get_ats.mine_history(model, kind(tmp_path / "nowhere"), x, y)


def test_a_sequential_model_is_mined_as_a_functional_one(tmp_path, images):
    layers = keras.layers
    model = keras.Sequential(
        [keras.Input((12, 12, 2)), layers.Conv2D(4, 3, activation="relu"), layers.Flatten(), layers.Dense(3)]
    )
    history, generator = History(tmp_path), numpy.random.default_rng(0)
    for epoch in range(1, 5):
        model.set_weights([generator.normal(0, 0.3, w.shape).astype("float32") for w in model.get_weights()])
        history.save(model, epoch, *confidence(model, *images))
    functional = keras.Model(model.inputs[0], model.outputs[0])
    targets, expected = (get_ats.mine_history(net, history, *images) for net in (model, functional))
    numpy.testing.assert_array_equal(targets.activation, expected.activation)
    assert targets.model == expected.model
    before = model.get_weights()
    tuned = dare.tune(model, targets, images[0], steps=2, learning_rate=1e-3)
    assert (tuned.get_weights()[0] != before[0]).any()
    numpy.testing.assert_array_equal(tuned.get_weights()[-2], before[-2])


def test_one_epoch_is_no_history(tmp_path, small_net, images):
    history = History(tmp_path)
    history.save(small_net, 1, *confidence(small_net, *images))
    with pytest.raises(ValueError, match="leave none to mine"):
        get_ats.mine_history(small_net, history, *images)


@pytest.mark.parametrize("layer", ["logits", "nothing", "flatten0"])
def test_a_layer_that_cannot_be_regressed_lists_the_valid_ones(mined, layer):
    with pytest.raises(ValueError, match="expected one of conv1, bn1, relu1, pool1, conv2, pool2, flatten, dense1"):
        get_ats.mine_history(*mined, layer=layer)


def test_the_default_layer_is_the_last_convolution_with_its_activation(small_net):
    assert transform.regression_layer(small_net) == "conv2"
    inputs = keras.Input((8, 8, 1))
    x = keras.layers.Conv2D(2, 3, name="only")(inputs)
    x = keras.layers.ReLU(name="after")(keras.layers.BatchNormalization()(x))
    x = keras.layers.GlobalAveragePooling2D()(x)
    assert transform.regression_layer(keras.Model(inputs, keras.layers.Dense(2)(x))) == "after"


def test_the_regression_model_is_the_inner_part_of_the_classifier(small_net, images):
    x = data.to_unit(images[0])
    inner = compute.predict(compute.forward(transform.transform(small_net, "conv2")), x)
    for name in ("pool2", "flatten", "dense1", "dropout1", "logits"):
        inner = small_net.get_layer(name)(inner)
    numpy.testing.assert_allclose(
        numpy.asarray(inner), compute.predict(compute.forward(small_net), x), rtol=1e-5, atol=1e-6
    )
