"""The check of model, images and labels in every public function that takes them."""

import dataclasses
import types

import keras
import numpy
import pytest

import models
from adv import attacks, checks, evaluate, foolbox_model, probes, reachable, search
from adv.guided import retraining, robot
from dare import get_ats, nnslicer
from models import compute, contract
from train import params, robust
from train.fit import fit
from train.history import History, confidence

foolbox = pytest.importorskip("foolbox")
FGSM = attacks.FGSM()


def everywhere(tmp_path):
    """name -> ``call(model, x, y, batch_size)`` of every public function."""

    def known(x, y):
        return numpy.ones(len(y), bool)

    def train(model, x, y, size):
        split = types.SimpleNamespace(x_train=x, y_train=y, x_validation=x, y_validation=y, fingerprint="d")
        recipe = dataclasses.replace(params.RECIPES["alexnet"], batch_size=size)
        return fit(model, split, recipe=recipe, history=tmp_path, seed=0, epochs=1)

    def train_robustly(model, x, y, size):
        split = types.SimpleNamespace(x_train=x, y_train=y, x_validation=x, y_validation=y, fingerprint="d")
        setup = dataclasses.replace(robust.SETUPS["standard"], batch_size=size)
        settings = {"probe": robust.Probe(images=4, steps=1), "history": tmp_path, "seed": 0, "epochs": 1}
        return robust.fit(model, split, method=robust.METHODS["standard"], setup=setup, **settings)

    def foolboxes(model, x, y, size):
        return foolbox_model.run(foolbox.attacks.FGSM(), model, x, y, epsilon=0.1, batch_size=size)

    def measured(model, x, y, size):
        return retraining.measure(model, x, y, batch_size=size)

    def attacked(model, x, y, size, **options):
        return evaluate.robust_flags(model, x, y, FGSM, epsilon=0.1, batch_size=size, **options)

    return {
        "minimal": lambda m, x, y, n: search.minimal(m, x, y, FGSM, batch_size=n),
        "correct": lambda m, x, y, n: evaluate.correct(m, x, y, batch_size=n),
        "classes": lambda m, x, y, n: evaluate.classes(m, x, y, batch_size=n),
        "robust": attacked,
        "robust, flags known": lambda m, x, y, n: attacked(m, x, y, n, correct=known(x, y)),
        "attacked": lambda m, x, y, n: evaluate.attacked_classes(m, x, y, FGSM, epsilon=0.1, before=y, batch_size=n),
        "distances": lambda m, x, y, n: evaluate.distances(m, x, y, FGSM, batch_size=n),
        "distances, flags known": lambda m, x, y, n: evaluate.distances(
            m, x, y, FGSM, correct=known(x, y), batch_size=n
        ),
        "withstood": lambda m, x, y, n: probes.withstood(m, x, y, [FGSM], epsilon=0.1, batch_size=n),
        "reachable": lambda m, x, y, n: reachable.reachable(m, x, y, epsilon=0.1, batch_size=n),
        "checks": lambda m, x, y, n: checks.check(m, x, y, epsilon=0.1, batch_size=n),
        "transferable": lambda m, x, y, n: checks.transferable(m, x, y, epsilon=0.1, batch_size=n),
        "foolbox": foolboxes,
        "measure": measured,
        "traces": lambda m, x, y, n: retraining.traces(m, x, batch_size=n),
        "confidence": lambda m, x, y, n: confidence(m, x, y, batch_size=n),
        "slicing": lambda m, x, y, n: nnslicer.slice_model(m, x, y, batch_size=n),
        "mining": lambda m, x, y, n: get_ats.mine_history(m, mineable(m, tmp_path / "mine"), x, y, batch_size=n),
        "robot": lambda m, x, y, n: robot.attack(m, x, y, "fgsm", epsilon=0.1, seed=0, batch_size=n),
        "training": train,
        "training, robust": train_robustly,
    }


def mineable(model, path):
    """A history of three epochs, whatever the model's outputs are."""
    history = History(path)
    if not history.epochs:
        for epoch in (1, 2, 3):
            history.save(model, epoch, numpy.zeros(14), numpy.zeros(14))
    return history


DOORS = tuple(everywhere(None))
WITHOUT_LABELS = ("traces",)
ADMITS_PROBABILITIES = ("checks",)


def net_of(*layers, shape=(8, 8, 2)):
    return keras.Sequential(
        [keras.Input(shape), keras.layers.Conv2D(4, 3, activation="relu"), keras.layers.Flatten(),
         keras.layers.Dense(8, activation="relu"), keras.layers.Dense(4), *layers]
    )  # fmt: skip


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda x, y: (x[:0], y[:0]), "with N at least 1"),
        (lambda x, y: (x[0], y), r"images have shape \(8, 8, 2\), expected \(N, 8, 8, 2\)"),
        (lambda x, y: (x[..., :1], y), r"expected \(N, 8, 8, 2\)"),
        (lambda x, y: (255 * x, y), r"pixels range from .* expected \[0, 1\]"),
        (lambda x, y: (numpy.where(x > 0.9, numpy.nan, x), y), "range from nan"),
        (lambda x, y: (x.astype(int), y), "pixels are int64"),
        (lambda x, y: (x, y[:-1]), "labels are int64 of shape"),
        (lambda x, y: (x, y.astype(float)), "expected integers"),
        (lambda x, y: (x, y[:, None]), "expected integers of shape"),
        (lambda x, y: (x, y + 4), "labels range from 4 to 7, expected 0 to 3"),
        (lambda x, y: (x, y - 1), "labels range from -1"),
    ],
    ids=["none", "one", "channels", "255", "nan", "integers", "labels", "float labels", "column", "above", "below"],
)
def test_images_and_labels(door, change, sentence, net, images, tmp_path):
    if "label" in sentence or "integers" in sentence:
        if door in WITHOUT_LABELS:
            return
    x, y = change(images[0], numpy.arange(14) % 4)
    with pytest.raises(ValueError, match=sentence) as caught:
        everywhere(tmp_path)[door](net, x, y, 5)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "origin.json").exists()  # a history that nothing could continue


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("size", [0, -1, 2.5])
def test_batch_size(door, size, net, images, tmp_path):
    with pytest.raises(ValueError, match=f"batch_size is {size}"):
        everywhere(tmp_path)[door](net, images[0], numpy.arange(14) % 4, size)


@pytest.fixture(scope="module")
def plain():
    """A plain net, compiled once for all tests that do not change its weights."""
    return net_of()


@pytest.fixture(scope="module")
def probabilities():
    """Two nets that put out probabilities."""
    return net_of(keras.layers.Softmax()), net_of(keras.layers.Activation("sigmoid"), keras.layers.Dropout(0.1))


@pytest.mark.parametrize("door", DOORS)
def test_models(door, images, probabilities, tmp_path):
    call = everywhere(tmp_path)[door]
    x, y = images[0], numpy.arange(14) % 4
    for refused in probabilities:
        if door in ADMITS_PROBABILITIES:
            assert "logits" in {check.name for check in call(refused, x, y, 5) if not check.passed}
        else:
            with pytest.raises(ValueError, match="outputs are probabilities .*models.to_logits or models.load"):
                call(refused, x, y, 5)

    class Subclassed(keras.Model):
        def call(self, x):
            return x

    for refused, sentence in (
        (Subclassed(), "is a subclassed model"),
        (keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(4)]), "Sequential model that is not built"),
        (net_of(keras.layers.Dense(1)), r"puts out \(N, 1\), expected logits"),
        (net_of(keras.layers.Dense(4, dtype="bfloat16")), "puts out bfloat16, expected float32"),
    ):
        with pytest.raises(ValueError, match=sentence):
            call(refused, x, numpy.zeros(14, int), 5)


@pytest.mark.parametrize("door", DOORS)
def test_a_plain_sequential_and_any_floats_pass(door, images, plain, tmp_path):
    x, y = images[0], numpy.arange(14) % 4
    model = net_of() if door.startswith(("mining", "training")) else plain
    if door == "mining":
        for epoch in (1, 2, 3):
            record = confidence(model, x, y)
            History(tmp_path / "mine").save(model, epoch, record[0] - (0.1 if epoch == 3 else 0), record[1])
        with pytest.raises(ValueError, match="recorded other confidences"):
            everywhere(tmp_path)[door](model, x, y, 5)
        return
    call = everywhere(tmp_path)[door]
    result = call(model, x, y, 5)
    if not door.startswith("training"):
        other = call(model, x.astype("float64"), y, 5)
        if isinstance(result, numpy.ndarray):
            numpy.testing.assert_array_equal(result, other)


def test_a_net_of_any_size_is_attacked():
    inputs = keras.Input((None, None, 2))
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, 3)(inputs))
    model = keras.Model(inputs, keras.layers.Dense(4)(x))
    flags = evaluate.robust_flags(model, numpy.zeros((3, 9, 7, 2), "uint8"), numpy.arange(3), FGSM, epsilon=0.1)
    assert flags.shape == (3,)
    with pytest.raises(ValueError, match=r"images have shape \(3, 9, 7, 1\), expected \(N, any, any, 2\)"):
        evaluate.correct(model, numpy.zeros((3, 9, 7, 1), "uint8"), numpy.arange(3))


@keras.saving.register_keras_serializable("tests")
class Hidden(keras.layers.Layer):
    """Probabilities that cannot be read off the graph."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def call(self, x):
        return self.function(x)


@pytest.mark.parametrize("function", [keras.ops.softmax, lambda x: keras.ops.sigmoid(9 * x)])
def test_probabilities_of_a_layer_of_one_s_own(function):
    x = numpy.random.default_rng(0).random((40, 8, 8, 2), "float32")
    model = net_of(Hidden(function))
    for weight in model.weights:
        weight.assign(numpy.random.default_rng(1).normal(0, 0.5, weight.shape))
    with pytest.raises(ValueError, match="outputs are probabilities .(rows|numbers)"):
        evaluate.correct(model, x, numpy.zeros(40, int))


@pytest.mark.parametrize("last", [keras.layers.Dense(4), Hidden(lambda x: x)], ids=["shown", "hidden"])
@pytest.mark.parametrize("value", [0.0, 0.25, 0.5])
def test_small_logits_are_logits(last, value):
    """Logits of an untrained net are small, often between 0 and 1; constant ones may even sum to 1."""
    model = net_of()
    x = numpy.random.default_rng(0).random((40, 8, 8, 2), "float32")
    model = keras.Model(model.inputs, last(model.outputs[0]))
    dense = next(layer for layer in reversed(model.layers) if layer.weights)
    dense.set_weights([0 * dense.get_weights()[0], numpy.full(4, value, "float32")])
    if value == 0.25 and isinstance(last, Hidden):
        return  # nothing tells it from a softmax that is sure of nothing
    assert evaluate.correct(model, x, numpy.zeros(40, int)).all()


def test_logits_that_are_not_finite_have_an_error_of_their_own(net, images):
    model = keras.models.clone_model(net)
    model.set_weights([numpy.full_like(weight, numpy.inf) for weight in net.get_weights()])
    x, y = images[0], numpy.arange(14) % 4
    for call in (
        lambda: evaluate.correct(model, x, y),
        lambda: evaluate.robust_flags(model, x, y, FGSM, epsilon=0.1, correct=numpy.ones(14, bool)),
        lambda: reachable.reachable(model, x, y, epsilon=0.1),
        lambda: retraining.measure(model, x, y),
        lambda: evaluate.robust_flags(model, x, y, "apgd-ce", epsilon=0.1, correct=numpy.ones(14, bool)),
    ):
        with pytest.raises(models.NonFiniteLogits, match="NaN or infinite"):
            call()


def test_attacks_have_names(net, images):
    x, y = images
    for result, other in (
        (evaluate.robust_flags(net, x, y, "pgd-7", epsilon=0.03),
         evaluate.robust_flags(net, x, y, attacks.get("pgd-7"), epsilon=0.03)),
        (evaluate.distances(net, x, y, "fgsm"), evaluate.distances(net, x, y, FGSM)),
        (search.minimal(net, x, y, "fgsm").images, search.minimal(net, x, y, FGSM).images),
    ):  # fmt: skip
        numpy.testing.assert_array_equal(result, other)
    for call in (
        lambda: evaluate.robust_flags(net, x, y, "pgd7", epsilon=0.03),
        lambda: evaluate.attacked_classes(net, x, y, "pgd7", epsilon=0.03, before=y),
        lambda: search.minimal(net, x, y, "pgd7"),
    ):
        with pytest.raises(ValueError, match="did you mean 'pgd-7'"):
            call()


def test_other_norms_have_other_sizes(net, images):
    assert evaluate.robust_flags(net, *images, "deepfool", epsilon=8).shape == (14,)


def test_the_classes_of_images_of_one_class_are_reached(net, images):
    x, y = images[0][:3], numpy.ones(3, int)
    reached = reachable.reachable(net, x, y, epsilon=0.3, steps=3)
    numpy.testing.assert_array_equal(reached[:, 1], evaluate.correct(net, x, y))
    assert reached.shape == (3, 4) and reached[:, [0, 2, 3]].any()


def test_every_door_predicts_no_more_than_it_did(net, images, monkeypatch):
    """The check itself costs no forward pass."""
    rows, predict = [], compute.predict

    def counting(run, *arrays, **options):
        rows.append(len(arrays[0]))
        return predict(run, *arrays, **options)

    monkeypatch.setattr(compute, "predict", counting)
    x, y = images
    evaluate.correct(net, x, y)
    assert rows == [14]
    contract.check(net, x, y)
    contract.admit(net, x, y)
    assert rows == [14]
