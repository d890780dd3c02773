"""Repair methods on a small net with a history: what they change, what they leave, and what they refuse."""

import collections
import dataclasses
import types

import keras
import numpy
import pytest
import scipy.special

import data
from adv import checks, evaluate, pgd
from dare.repair import arachne, averages, candidates, catalogue, cut, ensemble, kernels, problem, references
from train import batch_norm, step_average
from train.history import History, confidence

SMALL = {"particles": 5, "generations": 2}


@pytest.fixture
def net(tmp_path):
    """A small net of two dense layers behind a convolution with batch norm: .model, .history of four epochs, .x, .y."""
    layers = keras.layers
    inputs = keras.Input((6, 6, 1))
    x = layers.Conv2D(3, 3, activation="relu", name="conv")(inputs)
    x = layers.Flatten(name="flatten")(layers.BatchNormalization(name="bn")(x))
    x = layers.Dense(6, activation="relu", name="hidden")(x)
    model = keras.Model(inputs, layers.Dense(3, name="logits")(x), name="tiny")
    generator = numpy.random.default_rng(0)
    images, labels = generator.integers(0, 256, (45, 6, 6, 1), dtype="uint8"), numpy.arange(45) % 3
    history = History(tmp_path / "history")
    start = model.get_weights()
    for epoch in range(1, 5):
        model.set_weights([w + 0.3 * generator.standard_normal(w.shape, "float32") ** 2 for w in start])
        average = {"steps": numpy.int64(9), **dict(zip(step_average.names(start), start, strict=True))}
        history.save(model, epoch, *confidence(model, images, labels), state=average)
    return types.SimpleNamespace(model=model, history=history, x=images, y=labels)


def at(net, **changes):
    """The Problem of the net; its reduced models are M with seeded noise."""

    def train(place, fraction):
        generator = numpy.random.default_rng(place)
        noise = (0.3 * generator.standard_normal(array.shape, "float32") ** 2 for array in net.model.get_weights())
        return [array + part for array, part in zip(net.model.get_weights(), noise, strict=True)], 10

    settings = {"x_train": net.x, "seed": 3, "train": train} | changes
    return problem.make(net.model, net.history, net.x, net.y, **settings)


def same(first, second):
    for a, b in zip(first, second, strict=True):
        numpy.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", [name for name in catalogue.METHODS if name != "ensemble"])
def test_a_method_gives_whole_weights_and_leaves_the_model_as_it_was(net, name):
    task, method = at(net), catalogue.method(name, **SMALL)
    repaired = method.repair(task)
    same(net.model.get_weights(), task.original)
    assert [array.shape for array in repaired.weights] == [array.shape for array in task.original]
    assert all(numpy.isfinite(array).all() for array in repaired.weights)
    assert (repaired.forward > 0) == (name != "ema-step"), "what was averaged while training costs no pass"
    if "located" in repaired.facts:
        changed = {
            variable.path: int((after != before).sum())
            for variable, before, after in zip(net.model.weights, task.original, repaired.weights, strict=True)
        }
        assert sum(changed.values()) <= repaired.facts["located"]
        assert all(not count or path.endswith("kernel") for path, count in changed.items())
        assert repaired.facts["fitness"][1] >= repaired.facts["fitness"][0], "never worse than M"
    same(method.repair(task).weights, repaired.weights)


@pytest.mark.parametrize("names", [["logits"], ["hidden"], ["conv", "logits"]])
def test_candidates_equal_a_net_with_their_weights(net, names):
    model, generator = net.model, numpy.random.default_rng(1)
    sizes = {name: int(numpy.prod(model.get_layer(name).kernel.shape)) for name in names}
    entries = kernels.Entries({name: numpy.arange(0, size, 3) for name, size in sizes.items()})
    original, positions = model.get_weights(), generator.normal(size=(4, len(entries)))
    scored = candidates.Candidates(model, original, entries, [net.x[:20], net.x[20:].astype("float32") / 255])
    assert scored.linear == (names == ["logits"])
    cached = scored.logits(positions)
    same(model.get_weights(), original)
    for logits, values in zip(cached, positions, strict=True):
        model.set_weights(entries.written(model, original, values.astype("float32")))
        numpy.testing.assert_allclose(logits, model(data.to_unit(net.x)), rtol=1e-4, atol=1e-4)
    with pytest.raises(ValueError, match="no weight is located"):
        candidates.Candidates(model, original, kernels.Entries({}), [net.x])


def test_a_cut_goes_through_a_residual_net():
    layers = keras.layers
    inputs = keras.Input((6, 6, 1))
    first = layers.Conv2D(2, 3, padding="same", name="first")(inputs)
    second = layers.Conv2D(2, 3, padding="same", name="second")(layers.ReLU()(first))
    joined = layers.Add(name="add")([first, second])
    model = keras.Model(inputs, layers.Dense(3, name="logits")(layers.Flatten()(joined)))
    x = numpy.random.default_rng(0).random((5, 6, 6, 1), "float32")
    for parts, count in (
        (cut.before(model, ["second"]), 2),
        (cut.before(model, ["first"]), 1),
        (cut.after(model, "second"), 2),
        (cut.after(model, "add"), 1),
    ):
        assert len(parts.tensors) == count
        numpy.testing.assert_allclose(parts.logits(parts.activations(x)), model(x), rtol=1e-5, atol=1e-5)
    with pytest.raises(ValueError, match="nothing behind this cut"):
        cut.after(model, "logits")


def test_reduced_models_are_mixed_as_apricot_says(net):
    task = at(net)
    made = references.Reduced(count=3, fraction=0.2).of(task)
    trained = [task.train(place, 0.2)[0] for place in range(3)]
    assert (made.forward, made.backward) == (30 + 3 * len(task.failures), 30)
    for flags, weights in zip(made.correct, trained, strict=True):
        net.model.set_weights(weights)
        predicted = numpy.argmax(net.model.predict(data.to_unit(task.failures.x), verbose=0), axis=1)
        numpy.testing.assert_array_equal(flags, predicted == task.failures.y)
    net.model.set_weights(task.original)
    mixed = made.mean(0.5, numpy.array([0.75, -0.5, 0.25]))
    for array, *parts in zip(mixed, task.original, *trained, strict=True):
        naive = sum(f * p.astype("float64") for f, p in zip((0.5, 0.75, -0.5, 0.25), parts, strict=True))
        numpy.testing.assert_allclose(array, naive, rtol=1e-12, atol=1e-12)
    with pytest.raises(ValueError, match="tiny: no recipe to train reduced models by"):
        catalogue.method("apricot").repair(at(net, train=None))


def test_one_confusion_is_repaired(net):
    """The most frequent pair of true and predicted class, and its images alone."""
    task = at(net)
    failures, (label, other) = arachne.confused(task)
    predicted = evaluate.classes(net.model, task.failures.x, task.failures.y)
    counts = collections.Counter(zip(task.failures.y.tolist(), predicted.tolist(), strict=True))
    assert counts[label, other] == max(counts.values()) == len(failures) < len(task.failures)
    few = at(net, most_failures=2, seed=5, split_seed=3)
    numpy.testing.assert_array_equal(arachne.confused(few)[0].rows, failures.rows, "the same in each repeat")
    assert (failures.y == label).all() and (evaluate.classes(net.model, failures.x, failures.y) == other).all()
    facts = catalogue.method("arachne-confusion", **SMALL).repair(task).facts
    assert facts["confusion"] == [label, other] and facts["confused"] == len(failures)
    rarest = min(counts, key=counts.get)
    named = catalogue.method("arachne-confusion", confusion=rarest, **SMALL)
    assert named.title == f"Arachne, on class {rarest[0]} taken for {rarest[1]}"
    assert named.repair(task).facts["confusion"] == list(rarest)
    assert arachne.confused(task, rarest)[0].y.tolist() == [rarest[0]] * counts[rarest]
    with pytest.raises(ValueError, match=f"no image of class 7 .* taken for class 1: .* as {label} {other}"):
        arachne.confused(task, (7, 1))
    assert catalogue.method("arachne", confusion=rarest).confusion is False


def test_nothing_is_located_where_the_last_two_epochs_are_equal(net):
    net.history.save(net.model, 5, *confidence(net.model, net.x, net.y))
    task = at(net)
    repaired = catalogue.method("neurecover", **SMALL).repair(task)
    assert repaired.facts["degraded"] == repaired.facts["located"] == 0
    same(repaired.weights, task.original)


def test_averages_of_equal_checkpoints_are_the_checkpoint(net):
    net.history.save(net.model, 5, *confidence(net.model, net.x, net.y))
    task = at(net)
    same(averages.median_of(task, [5]), task.original)
    same(averages.median_of(task, [4, 5]), task.original)
    weights = [net.model.get_weights() for epoch in (2, 3, 4) if net.history.load_weights(net.model, epoch) is None]
    net.model.set_weights(task.original)
    same(averages.median_of(task, [2, 3, 4]), [numpy.median(parts, axis=0) for parts in zip(*weights, strict=True)])
    only = dataclasses.replace(task, history=types.SimpleNamespace(
        path=net.history.path, epochs=[5], last=5, stored=[5], load_weights=net.history.load_weights))  # fmt: skip
    with pytest.raises(ValueError, match="weights of 1 epochs from epoch 4 on, expected two"):
        averages.Median().repair(only)
    with pytest.raises(ValueError, match="no weights of the epochs"):
        catalogue.method("greedy-soup").repair(only)
    soup = averages.GreedySoup().repair(at(net))
    assert soup.facts["checkpoints"] >= 1 and set(soup.facts["epochs"]) <= {2, 3, 4, 5}


def test_a_soup_of_equal_checkpoints_is_the_newest(net):
    """No other raises the score, which has to rise; of equal scores the newest is first."""
    batch_norm.reestimate(net.model, net.x)  # what a soup's statistics are measured to be
    for epoch in range(5, 11):
        net.history.save(net.model, epoch, *confidence(net.model, net.x, net.y))
    soup = averages.GreedySoup().repair(at(net))
    assert soup.facts["checkpoints"] == 1 and soup.facts["epochs"] == [10]
    same(soup.weights, net.model.get_weights())


def test_the_ensemble_is_the_log_of_the_mean_softmax(net):
    mixture = ensemble.of(net.model, net.history, [2, 4])
    total = 0
    for epoch in (2, 4):
        net.history.load_weights(net.model, epoch)
        total = total + numpy.asarray(keras.ops.softmax(net.model(data.to_unit(net.x)))) / 2
    numpy.testing.assert_allclose(numpy.exp(mixture(data.to_unit(net.x))), total, rtol=1e-4)


@pytest.mark.parametrize("scale", [1.0, 3000.0])  # the second saturates every softmax
def test_the_ensemble_is_attacked_as_one_net(net, scale):
    """Its logits equal a float64 loop also where each softmax rounds; attacks can use its gradient unless its members
    are certain of different classes."""
    logits = net.model.get_layer("logits")
    for epoch in (2, 4):
        net.history.load_weights(net.model, epoch)
        kernel, bias = logits.get_weights()
        centre = numpy.asarray(net.model(data.to_unit(net.x))).mean(axis=0)  # else one class is predicted of all images
        logits.set_weights([scale * kernel, scale * (bias - centre)])
        net.history.save(net.model, epoch, *confidence(net.model, net.x, net.y))
    mixture, members = ensemble.of(net.model, net.history, [2, 4]), []
    for epoch in (2, 4):
        net.history.load_weights(net.model, epoch)
        members.append(numpy.asarray(net.model(data.to_unit(net.x)), "float64"))
    predicted = numpy.asarray(mixture(data.to_unit(net.x)))
    for place, seen in enumerate(predicted):
        parts = [logits[place] - scipy.special.logsumexp(logits[place]) for logits in members]
        expected = scipy.special.logsumexp(parts, axis=0) - numpy.log(2)
        numpy.testing.assert_allclose(seen, expected, rtol=1e-5, atol=1e-5 * max(1.0, abs(expected).max()))
    assert next(check for check in checks.brief(mixture, net.x, net.y) if check.name == "logits").passed
    agree = members[0].argmax(axis=1) == members[1].argmax(axis=1)
    assert agree.any() and checks.usable(mixture, net.x, net.y)[agree | (scale == 1)].all()
    attack, labels = pgd.PGD(steps=3, rel_stepsize=0.3), predicted.argmax(axis=1)
    kept = evaluate.robust_flags(mixture, net.x, labels, attack, epsilon=0.2)
    assert kept.sum() < len(kept)
    alone = ensemble.of(net.model, net.history, [4])
    labels = numpy.asarray(net.model(data.to_unit(net.x))).argmax(axis=1)
    flags = [evaluate.robust_flags(model, net.x, labels, attack, epsilon=0.2) for model in (alone, net.model)]
    numpy.testing.assert_array_equal(*flags)


def test_the_parts_are_disjoint_and_failures_are_what_they_are_called(net):
    task = at(net, most_kept=3)
    assert not set(task.repair.rows) & set(task.choice.rows)
    assert len(task.repair) + len(task.choice) == len(net.y) and len(task.choice) == 9
    predicted = numpy.asarray(net.model(data.to_unit(net.x))).argmax(1)
    assert (predicted[task.failures.rows] != task.failures.y).all()
    assert (predicted[task.kept.rows] == task.kept.y).all() and len(task.kept) == 3
    assert "x_test" not in {field.name for field in dataclasses.fields(problem.Problem)}


def test_adversarial_failures_are_searched_with_their_own_past(net):
    adversarial = problem.Images(net.x[:9].astype("float32") / 255, (net.y[:9] + 1) % 3)
    task = at(net, adversarial=adversarial, judged=adversarial)
    assert len(task.failures) == 9 and task.scored == 9 + len(task.choice)
    for name in ("neurecover-history", "apricot-history", "arachne-gl"):
        assert catalogue.method(name, **SMALL).repair(task).forward > 0


def test_bad_input_is_named(net, tmp_path):
    predicted = numpy.asarray(net.history.record(4)[1]).astype(int)
    with pytest.raises(ValueError, match="tiny misclassifies no image of the repair part"):
        problem.make(net.model, net.history, net.x, predicted, x_train=net.x)
    with pytest.raises(ValueError, match="records 45 images, expected the 9"):
        problem.make(net.model, net.history, net.x[:9], net.y[:9], x_train=net.x)
    task = at(net)
    for epoch in (2, 3):
        net.history.drop_weights(epoch)
    net.history.file(4, "state").unlink()
    with pytest.raises(ValueError, match="train with 1_train.py --ema-step"):
        catalogue.method("ema-step").repair(task)
    for name in ("neurecover", "neurecover-history", "swa", "apricot-history"):
        with pytest.raises(ValueError, match="train with --keep second-half or all"):
            catalogue.method(name, **SMALL).repair(task)
    inputs = keras.Input((6, 6, 1))
    bare = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(inputs), name="bare")
    with pytest.raises(ValueError, match="bare has no Dense or Conv2D layer, only GlobalAveragePooling2D, InputLayer"):
        kernels.layers(bare)
    grouped = keras.Model(inputs, keras.layers.Conv2D(2, 3, groups=1, name="c")(inputs))
    grouped.get_layer("c").groups = 2
    with pytest.raises(ValueError, match="convolves in 2 groups"):
        kernels.layers(grouped)
