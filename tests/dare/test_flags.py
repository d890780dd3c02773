"""Scoring one model: measures against plain loops, the images that are attacked, and flags of other models."""

import dataclasses
import types

import keras
import numpy
import pytest

from adv import adversarial_set, attacks, autoattack, scoring
from dare import flags as saved
from dare import test as testing
from data import files

PARTS = ("train", "validation", "test", "heldout")


@pytest.fixture
def net():
    """Three classes of 4x4x1 images: the class is the brightest of three pixels."""
    inputs = keras.Input((4, 4, 1))
    model = keras.Model(inputs, keras.layers.Dense(3)(keras.layers.Flatten()(inputs)))
    model.layers[-1].set_weights([10 * numpy.eye(16, 3, dtype="float32"), numpy.zeros(3, "float32")])
    return model


@pytest.fixture
def split():
    generator = numpy.random.default_rng(0)
    x = generator.integers(0, 256, (70, 4, 4, 1), dtype="uint8")
    y = x.reshape(70, 16)[:, :3].argmax(1)
    y[::7] = (y[::7] + 1) % 3
    return types.SimpleNamespace(x_train=x[:40], y_train=y[:40], x_test=x[40:], y_test=y[40:], fingerprint="d" * 64)


@pytest.fixture
def sets(split):
    """Two sets of noisy images; the second lacks some rows of the first, and has no held-out ones."""
    generator = numpy.random.default_rng(1)

    def part(x, y, rows):
        noise = generator.normal(0, 0.3, (len(rows), *x.shape[1:]))
        return adversarial_set.Part(numpy.clip(x[rows] / 255 + noise, 0, 1).astype("float32"), y[rows], rows)

    all_sets = {}
    for name, rows, heldout in (("a", numpy.arange(5, 30), 6), ("b", numpy.arange(12, 36, 2), 0)):
        tuned = part(split.x_train, split.y_train, numpy.arange(36, 40))
        parts = dict.fromkeys(("train", "validation"), tuned)
        parts["test"] = part(split.x_train, split.y_train, rows)
        parts["heldout"] = part(split.x_test, split.y_test, numpy.arange(heldout))
        all_sets[name] = adversarial_set.AdversarialSet(parts, {}, {}, "m", "d")
    return all_sets


class Fixed:
    """An attack that turns the images of some labels black from an epsilon on, and counts the images that it gets."""

    norm = "linf"
    loss = "dlr-targeted"

    def __init__(self, label, least):
        self.label, self.least, self.seen = label, least, []

    def specification(self):
        return {"attack": "fixed", "loss": self.loss}

    def within(self, model, images, labels, *, epsilon, batch_size):
        self.seen.append(len(labels))
        hit = (labels == self.label) & (epsilon >= self.least)
        moved = images.copy()
        moved[hit, 0, self.label] = 0
        moved[hit, 0, (self.label + 1) % 3] = 1
        return moved


ROWS = numpy.arange(3, 28)


@pytest.fixture
def tested(net, split, sets):
    """``tested(**white box)``: the Flags; the epsilons are given in falling order."""

    def tested(**white_box):
        return testing.test(
            net, split, sets, fingerprint="m" * 64, white_box=white_box, epsilons=[0.3, 0.1], minimal={}, rows=ROWS
        )

    return tested


def correct(images, labels):
    return images.reshape(len(images), -1)[:, :3].argmax(1) == labels


def worst(sets, flags, drawn):
    """Naive reference: an image is correct unless an attack succeeded on it and its adversarial is misclassified."""
    outcomes = [
        dict(zip(adversarial.parts["test"].index, flags[f"er/{name}"], strict=True))
        for name, adversarial in sets.items()
    ]
    rows = [row for row in drawn if any(row in of_attack for of_attack in outcomes)]
    return numpy.array([all(of_attack.get(row, True) for of_attack in outcomes) for row in rows])


@pytest.mark.parametrize(
    ("drawn", "expected_rows", "failed"),
    [
        ({"a": range(5, 30), "b": range(12, 36, 2)}, range(12, 30, 2), 0),  # every attack on every image
        ({"a": range(36), "b": range(36)}, [*range(5, 30), *range(30, 36, 2)], 19),  # on all of them, failures dropped
        ({"a": range(20), "b": range(36)}, range(5, 20), 11),  # a ran on fewer: the others are not of both
        ({"a": range(5, 30), "b": range(8, 11)}, range(8, 11), 3),  # b succeeded on none of its own
    ],
)
def test_an_image_on_which_an_attack_failed_is_correct_under_it(net, split, sets, drawn, expected_rows, failed):
    drawn = {name: numpy.array(rows) for name, rows in drawn.items()}
    for name, adversarial in sets.items():
        part = adversarial.parts["test"]
        own = numpy.isin(part.index, drawn[name])
        adversarial.parts["test"] = adversarial_set.Part(part.images[own], part.labels[own], part.index[own])
    flags = testing.test(
        net, split, sets, fingerprint="m", white_box={}, epsilons=[], minimal={}, rows=ROWS, drawn=drawn
    )
    assert flags.index["er/worst"].tolist() == list(expected_rows) and scoring.failures(flags.index, sets) == failed
    both = [row for row in drawn["a"] if row in drawn["b"]]
    sets = {name: adversarial for name, adversarial in sets.items() if f"er/{name}" in flags.label}
    numpy.testing.assert_array_equal(flags.correct["er/worst"], worst(sets, flags.correct, both))
    numpy.testing.assert_array_equal(flags.label["er/worst"], split.y_train[flags.index["er/worst"]])


def test_every_measure_is_that_of_plain_predictions(tested, split, sets):
    flags = tested()
    assert (flags.model, flags.data, flags.checks) == ("m" * 64, "d" * 64, ())
    naive = {"clean": correct(split.x_test, split.y_test)}
    for name, adversarial in sets.items():
        part, heldout = adversarial.parts["test"], adversarial.parts["heldout"]
        naive[f"er/{name}"] = correct(part.images, part.labels)
        if len(heldout.labels):
            naive[f"er-heldout/{name}"] = correct(heldout.images, heldout.labels)
        original = split.x_train[part.index] / 255
        for factor in (1.1, 1.5):
            pushed = numpy.clip(original + factor * (part.images - original), 0, 1)
            naive[f"er-x{factor}/{name}"] = correct(pushed, part.labels)
    common = [row for row in sets["a"].parts["test"].index if row in sets["b"].parts["test"].index]
    naive["er/worst"] = worst(sets, naive, common)
    assert flags.index["er/worst"].tolist() == common and scoring.failures(flags.index, sets) == 0
    assert set(flags.correct) == set(naive)
    for measure, expected in naive.items():
        numpy.testing.assert_array_equal(flags.correct[measure], expected, err_msg=measure)


def test_white_box_attacks_see_only_what_is_not_lost(tested, split):
    first, second = Fixed(0, 0.15), Fixed(1, 0.05)
    flags = tested(first=first, second=second)
    labels, clean = split.y_test[ROWS], correct(split.x_test, split.y_test)[ROWS]
    naive = {
        "first@0.1": clean,
        "first@0.3": clean & (labels != 0),
        "second@0.1": clean & (labels != 1),
        "second@0.3": clean & (labels == 2),
    }
    for name, expected in naive.items():
        numpy.testing.assert_array_equal(flags.correct[f"white-box/{name}"], expected, err_msg=name)
    for epsilon in ("0.1", "0.3"):
        numpy.testing.assert_array_equal(flags.correct[f"white-box/worst@{epsilon}"], naive[f"second@{epsilon}"])
    assert first.seen == [clean.sum(), clean.sum()]
    assert second.seen == [clean.sum(), (clean & (labels == 2)).sum()], "not what first or a smaller epsilon lost"
    assert not any("worst" in name for name in tested(first=Fixed(0, 0.15)).label if "white-box" in name)


@pytest.mark.parametrize("loss", ["margin", "dlr-targeted", "ce", "tempered"])
def test_a_worst_case_needs_the_targeted_dlr(tested, loss):
    first, second = Fixed(0, 0.15), Fixed(1, 0.05)
    first.loss, second.loss = loss, "ce"
    names = [name for name in tested(one=first, other=second).label if name.startswith("white-box/worst@")]
    assert len(names) == (2 if loss == "dlr-targeted" else 0)


def test_the_attacks_of_the_catalogue_that_may_stand_for_a_worst_case():
    catalogue = attacks.ATTACKS | {version: autoattack.AutoAttack(version=version) for version in autoattack.VERSIONS}
    enough = {name for name, attack in catalogue.items() if scoring.at_least_apgd_t(attack.specification())}
    assert enough == {"apgd-t", "apgd-t-l2", "standard", "plus"}, "PGD on the margin and AutoAttack's rand are not"
    assert scoring.at_least_apgd_t({"attack": "autoattack"}), "as older rows have it"


def test_independent_attacks_see_all_that_is_correct_and_predictions_are_kept(net, split):
    def score(independent):
        attacks = {"first": Fixed(0, 0.05), "second": Fixed(1, 0.05)}
        settings = {"white_box": attacks, "epsilons": [0.1], "minimal": {}, "rows": ROWS, "independent": independent}
        return attacks, testing.test(net, split, {}, fingerprint="m", **settings)

    labels, clean = split.y_test[ROWS], correct(split.x_test, split.y_test)[ROWS]
    for independent in (True, False):
        used, flags = score(independent)
        assert used["second"].seen == [clean.sum() if independent else (clean & (labels != 0)).sum()]
        for measure in ("clean", "white-box/first@0.1", "white-box/second@0.1", "white-box/worst@0.1"):
            numpy.testing.assert_array_equal(flags.label[measure], split.y_test[flags.index[measure]])
        worst = flags.prediction["white-box/worst@0.1"]
        hit = clean & (labels < 2)
        numpy.testing.assert_array_equal(worst[hit], (labels[hit] + 1) % 3)
        expected = numpy.where(clean & (labels == 0), 1, flags.prediction["clean"][ROWS])
        numpy.testing.assert_array_equal(flags.prediction["white-box/first@0.1"], expected)


def test_a_set_that_tests_on_what_another_trains_on_is_refused(tested, sets):
    sets["b"].parts["validation"] = sets["a"].parts["test"]
    with pytest.raises(ValueError, match="25 source images of the test part of a are in .* of b: make both"):
        tested()


def test_progress_counts_to_the_end(net, split, sets):
    reports = []
    testing.test(
        net, split, sets, fingerprint="m", white_box={"one": Fixed(0, 0.1)}, epsilons=[0.1, 0.3], minimal={}, rows=ROWS,
        progress=lambda done, total, note: reports.append((done, total)),
    )  # fmt: skip
    assert reports == [(k, 11) for k in range(1, 12)]


def test_saved_flags_come_back(tested, tmp_path):
    flags = dataclasses.replace(tested(one=Fixed(0, 0.1)), checks=({"name": "batch", "passed": True},))
    flags.save(tmp_path / "flags-0.h5")
    again = saved.Flags.load(tmp_path / "flags-0.h5", model="m" * 64, data="d" * 64)
    assert (again.model, again.data, again.checks) == (flags.model, flags.data, flags.checks)
    for group in ("prediction", "label", "index", "correct"):
        written, read = getattr(flags, group), getattr(again, group)
        assert set(written) == set(read)
        for measure in written:
            numpy.testing.assert_array_equal(written[measure], read[measure])


def rewritten(path, change):
    """The flags of a valid file whose arrays were altered by `change`."""
    arrays, facts = files.load_artefact(path, saved.KIND)
    change(arrays)
    files.save_artefact(path, saved.KIND, arrays, facts)
    return saved.Flags.load(path)


def as_earlier(arrays):
    """As in a file of an earlier version: whether each image is correct, in place of its label."""
    for name in [name for name in arrays if name.startswith("label:")]:
        arrays[name.replace("label:", "flags:")] = arrays.pop(name) == arrays[name.replace("label:", "prediction:")]


def test_files_that_kept_what_is_correct_and_no_labels_are_read(tested, tmp_path):
    flags = tested(one=Fixed(0, 0.1))
    flags.save(tmp_path / "flags-0.h5")
    again = rewritten(tmp_path / "flags-0.h5", as_earlier)
    assert set(again.correct) == set(flags.correct)
    for measure, correct in flags.correct.items():
        numpy.testing.assert_array_equal(again.correct[measure], correct)
        numpy.testing.assert_array_equal(again.label[measure][correct], flags.label[measure][correct])
        assert (again.label[measure][~correct] == saved.UNKNOWN).all()


def test_files_that_kept_what_is_correct_and_nothing_else_are_refused(tested, tmp_path):
    def change(arrays):
        as_earlier(arrays)
        for name in [name for name in arrays if name.startswith("prediction:")]:
            del arrays[name]

    tested().save(tmp_path / "flags-0.h5")
    with pytest.raises(ValueError, match="flags-0.h5: .* do not match: delete it and test again"):
        rewritten(tmp_path / "flags-0.h5", change)


@pytest.mark.parametrize("what", ["model", "data"])
def test_flags_of_another_model_or_data_are_refused(tested, tmp_path, what):
    tested().save(tmp_path / "flags-0.h5")
    with pytest.raises(ValueError, match=f"flags-0.h5: flags of {what} [md]+, expected eeeeeeeeeeee: delete it"):
        saved.Flags.load(tmp_path / "flags-0.h5", **{what: "e" * 64})
