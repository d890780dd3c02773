"""The loop of robust training: resumed to the bit, budgets kept, best and last kept, overfitting caught."""

import dataclasses

import keras
import numpy
import pytest

import data
from train import robust
from train.history import History
from train.robust import probe

SETUP = dataclasses.replace(robust.SETUPS["standard"], batch_size=16, learning_rate=0.02, epsilon=0.05)
PROBE = robust.Probe(images=12, steps=2)


FAST = dataclasses.replace(SETUP, cyclic=True, milestones=(0.5,), factors=(), momentum_at_peak=0.8, replay_clip=False)
# each kind of strategy, a controller with a state, and a momentum that cycles with the rate
RESUMED = [("m+deat", FAST), ("fat-5", SETUP), ("m+trades-deat", SETUP), ("yopo-5-3", SETUP)]
# each kind of state: targets with averaged weights, an average of its own for the attack, statistics measured anew
RESUMED += [("sat+ema", SETUP), ("history-at-random", SETUP), ("nuat2-wa", SETUP), ("pgd-7+swa", SETUP), ("awp", FAST)]
RESUMED += [("pgd-7+median", SETUP), ("history-at-r", SETUP), ("history-at-held-out+ema", SETUP)]
RESUMED = [RESUMED[0], *(pytest.param(*values, marks=pytest.mark.slow) for values in RESUMED[1:])]


class Killed(Exception):
    pass


@pytest.fixture
def split(images):
    x, y = images
    return data.holdout_split(data.Dataset(x, y, x[:6], y[:6], tuple("abc"), True, "tiny"), 0, validation=12)


def build():
    keras.utils.set_random_seed(0)
    layers = keras.layers
    inputs = keras.Input((12, 12, 2))
    x = layers.ReLU()(layers.BatchNormalization(momentum=0.9)(layers.Conv2D(4, 3, strides=2, name="conv1")(inputs)))
    x = layers.Dropout(0.2)(layers.GlobalAveragePooling2D()(x))
    return keras.Model(inputs, layers.Dense(3, name="logits")(x), name="tiny")


def fit(split, path, name, model=None, *, guard=1.0, **settings):
    method = dataclasses.replace(robust.METHODS[name], guard=guard)
    if getattr(method.strategy, "targets", None):  # before the epoch that is killed
        targets = method.strategy.targets
        early = {"start": 0.25 if name.startswith("sat") else 0.75}
        if getattr(targets, "patience", None) is not None:
            early = {"patience": 0.0}
        early = dataclasses.replace(targets, **early)
        method = dataclasses.replace(method, strategy=dataclasses.replace(method.strategy, targets=early))
    settings = {"epochs": 4, "method": method, "setup": SETUP, "probe": PROBE, "seed": 0, **settings}
    return robust.fit(model or build(), split, history=path, **settings)


def killed_in(epoch, share=0.5):
    """A progress that stops the process in the middle of an epoch of four."""

    def progress(done, total, note):
        if done >= total * (epoch - 1 + share) / 4:
            raise Killed

    return progress


@pytest.mark.backends
@pytest.mark.parametrize(("name", "setup"), RESUMED)
def test_a_killed_training_ends_with_the_same_bits(split, tmp_path, name, setup):
    whole = fit(split, tmp_path / "whole", name, setup=setup)
    with pytest.raises(Killed):
        fit(split, tmp_path / "cut", name, progress=killed_in(3), setup=setup)
    assert History(tmp_path / "cut").last == 2
    resumed = fit(split, tmp_path / "cut", name, setup=setup)
    for epoch in whole.epochs:
        assert whole.record(epoch)[2] == resumed.record(epoch)[2]
    models = [whole.final_model(), resumed.final_model()]
    assert all(map(numpy.array_equal, *(model.get_weights() for model in models)))


def test_a_budget_ends_training_mid_epoch_within_a_batch(split, tmp_path):
    history = fit(split, tmp_path, "pgd-7", epochs=None, budget=11.0)
    spent = [history.record(epoch)[2]["bp_epochs"] for epoch in history.epochs]
    assert spent[0] == pytest.approx(8.0) and 11.0 <= spent[1] < 11.0 + 8 * 16 / len(split.x_train) + 1e-6
    before = dict(history.record(2)[2])
    again = fit(split, tmp_path, "pgd-7", epochs=None, budget=11.0)  # nothing left to do
    assert again.last == 2 and again.record(2)[2] == before


def test_the_selected_and_the_last_weights_are_kept(split, tmp_path):
    model = build()
    history = fit(split, tmp_path, "fgsm-rs", model, epochs=6)
    robustness = [history.record(epoch)[2]["probe_robust"] for epoch in history.epochs]
    assert robust.selected(history) == 1 + int(numpy.argmax(robustness))
    assert set(history.stored) == {robust.selected(history), 6}
    assert fit(split, tmp_path / "all", "fgsm-rs", model, epochs=3, keep="all").stored == [1, 2, 3]


def test_the_probe_on_held_out_images(split):
    model = build()
    x, y = split.x_validation[:12].astype("float32") / 255, split.y_validation[:12]
    measures = PROBE.measure(model, x, y, epsilon=0.1, scale=numpy.ones(1, "float32"), seed=0)
    logits = numpy.asarray(model(x), "float64")
    log_p = logits - numpy.log(numpy.exp(logits).sum(axis=1, keepdims=True))
    assert measures["probe_clean"] == pytest.approx((logits.argmax(axis=1) == y).mean())
    assert measures["probe_clean_loss"] == pytest.approx(-log_p[numpy.arange(12), y].mean(), rel=1e-4)
    assert (
        measures["probe_robust"] <= measures["probe_clean"]
        and measures["probe_robust_loss"] > measures["probe_clean_loss"]
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scripted(robust.Probe):
    """Given robust accuracies, one for each epoch."""

    accuracies: tuple = ()

    def __post_init__(self):
        object.__setattr__(self, "remaining", iter(self.accuracies))

    def measure(self, *arguments, **settings):
        robustness = next(self.remaining)
        losses = {"probe_clean_loss": 0.1, "probe_robust_loss": 3 - robustness}
        return {"probe_clean": 0.9, "probe_robust": robustness, "probe_magnitude": 1.0, "probe_lipschitz": 1.0} | losses


def test_catastrophic_overfitting_ends_training_and_the_selected_epoch_stays(split, tmp_path):
    accuracies = (0.3, 0.45, 0.26, 0.2, 0.5)
    model = build()
    history = fit(split, tmp_path, "fgsm-rs", model, guard=0.2, epochs=5, probe=Scripted(accuracies=accuracies))
    assert [history.record(epoch)[2]["stopped"] for epoch in history.epochs] == [False, False, False, True]
    assert robust.selected(history) == 2 and history.stored == [2, 4]
    restored = model.get_weights()
    history.load_weights(model, 2)
    assert all(map(numpy.array_equal, restored, model.get_weights()))


@pytest.mark.parametrize(
    ("robust_accuracies", "lost"),
    [
        ([0.5], False),
        ([0.1, 0.5, 0.31], False),
        ([0.1, 0.5, 0.29], True),
        ([0.094, 0.055, 0.053, 0.033], False),  # one epoch below half
        ([0.094, 0.055, 0.033, 0.05], False),  # and above it again
        ([0.094, 0.055, 0.033, 0.046], True),
        ([0.04, 0.0, 0.0, 0.0], False),  # too low a best to be told from chance
    ],
)
def test_robustness_is_lost_by_a_fall_or_by_two_epochs_below_half(robust_accuracies, lost):
    losses = [3 - accuracy for accuracy in robust_accuracies]
    assert probe.fallen(robust_accuracies, losses, 0.2, 512) is lost
    assert probe.fallen(robust_accuracies, losses, 1.0, 512) is False
    assert probe.fallen([0.19, 0.0, 0.0], [2.0, 2.1, 2.2], 0.2, 128) is False  # 24 images


def test_a_net_that_leaves_a_constant_answer_has_not_lost_its_robustness():
    learning = [0.1, 0.1, 0.085, 0.01, 0.01], [2.307, 2.306, 2.304, 2.303, 2.299]
    assert probe.fallen(*learning, 0.2, 512) is False


def test_a_constant_net_is_not_selected_before_one_that_begins_to_learn():
    def epoch(learnt, robust, clean):
        return {"probe_robust": robust, "probe_clean": clean, **({} if learnt is None else {"probe_learnt": learnt})}

    assert probe.best({1: epoch(0.0, 0.12, 0.12), 2: epoch(1.0, 0.09, 0.2), 3: epoch(1.0, 0.08, 0.3)}) == 2
    assert probe.best({1: epoch(0.0, 0.12, 0.12), 2: epoch(0.0, 0.13, 0.13)}) == 2, "nothing was learnt at all"
    assert probe.best({1: epoch(None, 0.12, 0.12), 2: epoch(None, 0.09, 0.2)}) == 1, "an older history"
    labels = numpy.arange(500) % 10
    assert not probe.learnt(0.1, labels) and not probe.learnt(0.12, labels) and probe.learnt(0.13, labels)
    assert not probe.learnt(0.9, numpy.zeros(40, int)), "one class alone"


def test_the_guard_remembers_the_epochs_of_a_killed_training(split, tmp_path):
    settings = {"guard": 0.2, "probe": Scripted(accuracies=(0.1, 0.5, 0.29, 0.9))}
    with pytest.raises(Killed):
        fit(split, tmp_path, "fgsm-rs", **settings, progress=killed_in(3))
    history = fit(split, tmp_path, "fgsm-rs", **settings)
    assert history.last == 3 and history.record(3)[2]["stopped"]


def test_steps_and_magnitude_follow_the_controller(split, tmp_path):
    history = fit(split, tmp_path, "m+deat", epochs=3)
    rows = [history.record(epoch)[2] for epoch in history.epochs]
    assert [row["steps"] for row in rows] == [1, 2, 2]
    assert [row["bp_epochs"] for row in rows] == pytest.approx([1, 3, 5])
    assert rows[1]["controller"]["threshold"] == pytest.approx(1.01 * rows[1]["magnitude"])


def test_a_batch_is_trained_at_the_rate_and_momentum_of_its_place_in_the_run(split, tmp_path, monkeypatch):
    rates, count = [], len(split.x_train)
    original = robust.Setup.momentum_of

    def momentum_of(setup, rate):
        rates.append((rate, original(setup, rate)))
        return rates[-1][1]

    monkeypatch.setattr(robust.Setup, "momentum_of", momentum_of)
    fit(split, tmp_path, "standard", epochs=2, setup=FAST)
    places = [(epoch + start / count) / 2 for epoch in range(2) for start in range(0, count, 16)]
    heights = [1 - abs(2 * place - 1) for place in places]
    assert [rate for rate, _ in rates] == pytest.approx([0.02 * height for height in heights])
    assert [momentum for _, momentum in rates] == pytest.approx([0.9 - 0.1 * height for height in heights])


def test_the_magnitude_of_an_epoch_is_of_all_batches_or_of_the_last(split, tmp_path):
    digests = {}
    for guided_by in ("all", "last"):
        strategy = dataclasses.replace(robust.METHODS["m+pgd-2021"].strategy, guided_by=guided_by)
        method = dataclasses.replace(robust.METHODS["m+pgd-2021"], strategy=strategy, guard=1.0)
        history = fit(split, tmp_path / guided_by, "m+pgd-2021", method=method, epochs=2)
        digests[guided_by] = history.record(2)[2]["magnitude"]
    assert 0 < digests["last"] < 0.7 * digests["all"]


def test_each_record_is_read_once_however_many_epochs_follow(split, tmp_path, monkeypatch):
    model = build()
    fit(split, tmp_path, "standard", model, epochs=4, on_epoch=None)
    read, original = [], History.record
    monkeypatch.setattr(History, "record", lambda history, epoch: (read.append(epoch), original(history, epoch))[1])
    fit(split, tmp_path / "new", "standard", model, epochs=3)
    assert read == []
    fit(split, tmp_path, "standard", model, epochs=4)
    assert read == [1, 2, 3, 4]


def test_another_method_or_length_is_refused(split, tmp_path):
    fit(split, tmp_path, "pgd-7", epochs=1)
    with pytest.raises(ValueError, match="this history has"):
        fit(split, tmp_path, "free-8", epochs=1)
    with pytest.raises(ValueError, match="this history has epochs 1, not 2"):
        fit(split, tmp_path, "pgd-7", epochs=2)
    with pytest.raises(ValueError, match="above 0"):
        fit(split, tmp_path, "pgd-7", epochs=None, budget=-1.0)


def test_a_loss_that_is_not_finite_ends_training_and_keeps_the_epochs_before(split, tmp_path):
    model = build()

    def poison(history):
        model.get_layer("logits").kernel.assign(
            numpy.full(model.get_layer("logits").kernel.shape, numpy.nan, "float32")
        )

    with pytest.raises(ArithmeticError, match="epochs up to 1 are kept"):
        fit(split, tmp_path, "pgd-7", model=model, on_epoch=poison)
    assert History(tmp_path).epochs == [1]


def test_the_control_is_selected_by_clean_accuracy(split, tmp_path):
    assert (robust.METHODS["standard"].select, robust.METHODS["standard"].guard) == ("probe_clean", 1.0)
    history = fit(split, tmp_path, "standard", keep="all")
    clean = [history.record(epoch)[2]["probe_clean"] for epoch in history.epochs]
    assert robust.selected(history, "probe_clean") == 1 + int(numpy.argmax(clean))


def test_a_history_is_not_continued_by_another_controller(split, tmp_path):
    fit(split, tmp_path, "m+deat", epochs=1)
    with pytest.raises(ValueError, match="controller"):
        fit(split, tmp_path, "m+deat", epochs=1, setup=dataclasses.replace(SETUP, replay_maximum=4))
