"""Mining while training against mining the stored history: the same bits, also after a kill at any moment."""

import shutil
import signal

import keras
import numpy
import pytest

import data
from dare import epoch_choice, get_ats, online, online_store
from train.fit import fit
from train.history import History, confidence
from train.params import Recipe

RECIPE = Recipe(learning_rates=(0.1, 0.1), milestones=(0.5,), batch_size=10, shift=0.1, fill="constant")
EPOCHS = 6


class Killed(Exception):
    """Stands for kill -9: no code catches it."""


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    monkeypatch.setattr(get_ats, "BATCH", 8)
    monkeypatch.setattr(get_ats, "BLOCK", 20)


@pytest.fixture(scope="module")
def small_net():
    """One net for all tests, compiled once; each test sets its weights."""
    keras.utils.set_random_seed(0)
    layers, inputs = keras.layers, keras.Input((12, 12, 2))
    x = layers.Conv2D(4, 3, activation="relu", name="conv1")(inputs)
    x = layers.Conv2D(6, 3, activation="relu", name="conv2")(layers.MaxPooling2D()(x))
    x = layers.Dense(8, activation="relu", name="dense1")(layers.Flatten()(x))
    return keras.Model(inputs, layers.Dense(3, name="logits")(x), name="small")


@pytest.fixture(scope="module")
def split():
    generator = numpy.random.default_rng(1)
    x, y = generator.integers(0, 256, (100, 12, 12, 2), dtype="uint8"), numpy.arange(100) % 3
    return data.half_split(data.Dataset(x, y, x[:9], y[:9], ("a", "b", "c"), True, "random"), seed=0)


def random_epochs(model, split, seed):
    """EPOCHS random models as (weights, log-probabilities, predictions).

    The records of all but the last are random too, with many ties: mining takes them as they are.
    """
    generator, start, samples, epochs = numpy.random.default_rng(seed), model.get_weights(), len(split.y_validation), []
    for _ in range(EPOCHS):
        model.set_weights([w + generator.normal(0, 0.2, w.shape).astype(w.dtype) ** 2 for w in start])
        record = generator.integers(-9, 0, samples).astype("float32") / 4, generator.integers(0, 3, samples)
        epochs.append((model.get_weights(), *record))
    epochs[-1] = (epochs[-1][0], *confidence(model, split.x_validation, split.y_validation))
    return epochs


@pytest.fixture(scope="module")
def epochs(small_net, split):
    return random_epochs(small_net, split, 0)


class Training:
    """A history of which every epoch is stored, and a Miner beside it; `advance` adds an epoch to both."""

    def __init__(self, folder, model, split, epochs=EPOCHS, layer=None):
        self.model, self.split, self.history = model, split, History(folder / "history")
        self.history.claim({"seed": 0, "epochs": epochs})
        held_out = split.x_validation, split.y_validation
        self.folder = folder / "mined"
        self.miner = online.Miner(self.folder, model, self.history, *held_out, epochs=epochs, layer=layer)

    def advance(self, epoch, observed=True, recorded=True):
        weights, log_probability, prediction = epoch
        self.model.set_weights(weights)
        number = self.history.last + 1
        if observed:
            self.miner.observe(self.model, number, log_probability, prediction)
        if recorded:
            self.history.save(self.model, number, log_probability, prediction)
        return self

    def mine(self, **options):
        self.history.load_weights(self.model, self.history.last)
        held_out = self.split.x_validation, self.split.y_validation
        return get_ats.mine_history(self.model, self.history, *held_out, **options)


def same(targets, other):
    for name in ("index", "epoch", "gain", "activation"):
        numpy.testing.assert_array_equal(getattr(targets, name)[:], getattr(other, name)[:])
    assert (targets.layer, targets.model, targets.data) == (other.layer, other.model, other.data)


@pytest.mark.parametrize("layer", [None, "dense1"])
def test_targets_are_those_of_the_stored_history(tmp_path, small_net, split, epochs, layer):
    training = Training(tmp_path, small_net, split, layer=layer)
    for epoch in epochs:
        training.advance(epoch)
    stored = training.mine(layer=layer, path=tmp_path / "stored.h5")
    assert len(stored.index) > 16 and len(numpy.unique(stored.epoch)) > 1
    for epoch in training.history.epochs[:-1]:
        training.history.drop_weights(epoch)
    store = online_store.Store.load(training.folder)
    same(training.mine(store=store, path=tmp_path / "online.h5"), stored)
    same(training.mine(store=store, layer=layer), stored)
    some = training.mine(store=store, layer=layer, min_gain=0.2)
    selected = stored.gain >= 0.2
    assert 0 < selected.sum() < len(selected)
    numpy.testing.assert_array_equal(some.activation, stored.activation[:][selected])
    assert (tmp_path / "online.h5").read_bytes() == (tmp_path / "stored.h5").read_bytes()


def test_only_what_improves_is_computed_and_few_rows_are_kept(tmp_path, small_net, split, epochs, monkeypatch):
    computed, original = [], get_ats.activations
    monkeypatch.setattr(get_ats, "activations", lambda *all: computed.append(len(all[2])) or original(*all))
    training = Training(tmp_path, small_net, split)
    candidates, expected, peak, live = epoch_choice.Candidates.none(50), [], 0, 0
    for number, epoch in enumerate(epochs, 1):
        del computed[:]
        training.advance(epoch)
        rows = ()
        if number in get_ats.window(EPOCHS):
            candidates, _, rows = candidates.update(number, epoch[1], epoch[2] == split.y_validation)
            peak = max(peak, live + len(rows))
            live = int((candidates.epoch > 0).sum())
        expected.append(len(rows))
        assert sum(computed) == len(rows)
    assert expected[:2] == [0, 0] and expected[2] == 50 and 0 < expected[3] < 50 and expected[5] == 0
    store = online_store.Store.load(training.folder)
    assert store.rows.stat().st_size <= peak * store.row_size < training.miner.largest_size
    assert [path.name for path in sorted(training.folder.iterdir())] == [
        "activations.float32",
        "epoch-0004.best.h5",
        "epoch-0005.best.h5",
    ]


def digests(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.mark.parametrize(
    ("moment", "number"), [("rows", 3), ("rows", 4), ("state", 4), ("state", 5), ("record", 3), ("record", 5)]
)
def test_killed_and_continued_leaves_the_same_bytes(tmp_path, small_net, split, epochs, monkeypatch, moment, number):
    whole = Training(tmp_path / "whole", small_net, split)
    for epoch in epochs:
        whole.advance(epoch)
    cut = Training(tmp_path / "cut", small_net, split)
    for epoch in epochs[: number - 1]:
        cut.advance(epoch)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        if moment == "rows":
            original, calls = get_ats.activations, []

            def killed(*all):
                if calls:
                    raise Killed
                calls.append(1)
                return original(*all)

            patch.setattr(get_ats, "activations", killed)
        elif moment == "state":
            patch.setattr(online_store.Store, "save", lambda self: (_ for _ in ()).throw(Killed))
        cut.advance(epochs[number - 1], recorded=False)
        raise Killed
    cut = Training(tmp_path / "cut", small_net, split)
    for epoch in epochs[number - 1 :]:
        cut.advance(epoch)
    assert digests(cut.folder) == digests(whole.folder)


@pytest.mark.parametrize("number", [3, 4, 5])
def test_an_epoch_done_again_with_other_bits_counts_alone(tmp_path, small_net, split, epochs, number):
    """As on an accelerator, which repeats a killed epoch with other bits."""
    other = random_epochs(small_net, split, 9)[0]
    training = Training(tmp_path, small_net, split)
    for epoch in epochs[: number - 1]:
        training.advance(epoch)
    training.advance(other, recorded=False)
    training = Training(tmp_path, small_net, split)
    for epoch in epochs[number - 1 :]:
        training.advance(epoch)
    same(training.mine(store=online_store.Store.load(training.folder)), training.mine())


def test_a_full_disk_leaves_the_epoch_before(tmp_path, small_net, split, epochs):
    resource = pytest.importorskip("resource")
    training = Training(tmp_path, small_net, split)
    for epoch in epochs[:3]:
        training.advance(epoch)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    size = online_store.Store.load(training.folder).rows.stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            training.advance(epochs[3])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    training = Training(tmp_path, small_net, split)
    for epoch in epochs[3:]:
        training.advance(epoch)
    same(training.mine(store=online_store.Store.load(training.folder)), training.mine())


def test_training_and_mining_are_not_changed_by_keeping_no_checkpoints(tmp_path, small_net, split):
    start, held_out = small_net.get_weights(), (split.x_validation, split.y_validation)
    options = {"recipe": RECIPE, "seed": 3, "epochs": 8}
    whole = fit(small_net, split, history=tmp_path / "whole", **options)
    small_net.set_weights(start)
    history = History(tmp_path / "history")
    miner = online.Miner(tmp_path / "mined", small_net, history, *held_out, epochs=8)
    fit(small_net, split, history=history, keep="last", observe=miner.observe, **options)
    assert history.stored == [8]
    numpy.testing.assert_array_equal(history.log_probability, whole.log_probability)
    mined = get_ats.mine_history(small_net, history, *held_out, store=online_store.Store.load(tmp_path / "mined"))
    assert len(mined.index) > 8
    same(mined, get_ats.mine_history(small_net, whole, *held_out))


@pytest.fixture
def finished(tmp_path, small_net, split, epochs):
    training = Training(tmp_path, small_net, split)
    for epoch in epochs:
        training.advance(epoch)
    return training


def test_what_a_store_was_not_kept_for_is_refused_in_one_sentence(tmp_path, small_net, split, epochs, finished):
    store, x, y = online_store.Store.load(finished.folder), split.x_validation, split.y_validation
    other = Training(tmp_path / "other", small_net, split)
    for epoch in random_epochs(small_net, split, 5):
        other.advance(epoch)
    foreign = History(tmp_path / "foreign")
    shutil.copytree(finished.history.path, foreign.path)
    (foreign.path / "origin.json").unlink()
    foreign.claim({"seed": 7, "epochs": EPOCHS})
    short = History(tmp_path / "short")
    shutil.copytree(finished.history.path, short.path)
    short.file(EPOCHS, "record").unlink()
    mine = get_ats.mine_history
    for call, sentence in (
        (lambda: mine(small_net, foreign, x, y, store=store), "was kept for seed 0, not 7"),
        (lambda: mine(small_net, finished.history, x, y, store=store, layer="dense1"), "layer conv2, not dense1"),
        (lambda: mine(small_net, finished.history, x ^ 1, y, store=store), "was kept for another images"),
        (lambda: mine(small_net, finished.history, x, y, store=store, recorded=False), "mine with recorded=True"),
        (lambda: mine(small_net, finished.history, x, y, store=store, epochs=[4, 5]), "among 4 .. 5"),
        (lambda: other.mine(store=store), "holds other epochs than the most confident of"),
        (lambda: online.Miner(finished.folder, small_net, short, x, y, epochs=8), "was kept for epochs 6, not 8"),
        (lambda: online.Miner(finished.folder, small_net, short, x ^ 1, y, epochs=6), "another images"),
        (lambda: online.Miner(finished.folder, small_net, short, x, y, epochs=6, layer="dense1"), "not dense1"),
        (lambda: online.Miner(finished.folder, small_net, foreign, x, y, epochs=6), "seed 0, not 7"),
        (lambda: online.Miner(tmp_path / "new", small_net, short, x, y, epochs=6), "train anew with mining"),
        (lambda: online.Miner(tmp_path / "new", small_net, short, x, y, epochs=1), "1 epochs leave none to mine"),
        (lambda: online.Miner(tmp_path / "new", small_net, short, x, y, epochs=6, layer="logits"), "'logits' cannot"),
    ):
        small_net.set_weights(epochs[-1][0])
        with pytest.raises((ValueError, FileNotFoundError)) as caught:
            call()
        assert sentence in str(caught.value) and "\n" not in str(caught.value)
    small_net.set_weights(epochs[-2][0])
    short.save(small_net, 5, *confidence(small_net, x, y))
    with pytest.raises(ValueError, match="was kept for a training of 6 epochs, but .*short has 5: finish"):
        mine(small_net, short, x, y, store=store)


@pytest.mark.parametrize("keep", [0, 500, 0.5, 0.9])
def test_cut_files_are_named(finished, keep):
    for name in ("activations.float32", "epoch-0005.best.h5"):
        path = finished.folder / name
        whole = path.read_bytes()
        path.write_bytes(whole[: int(keep * len(whole)) if isinstance(keep, float) else keep])
        with pytest.raises(ValueError, match=name):
            online_store.Store.load(finished.folder)
        path.write_bytes(whole)


def test_absent_and_foreign_files_are_named(tmp_path, finished):
    with pytest.raises(FileNotFoundError, match="nowhere: no state of any epoch"):
        online_store.Store.load(tmp_path / "nowhere")
    path = finished.folder / "epoch-0005.best.h5"
    shutil.copy(finished.history.file(5, "record"), path)
    with pytest.raises(ValueError, match="holds 'epoch record', expected 'surest epochs so far'"):
        online_store.Store.load(finished.folder)
    (finished.folder / "activations.float32").unlink()
    with pytest.raises(ValueError, match="activations.float32: has 0 bytes"):
        online_store.Store.load(finished.folder, 4)
