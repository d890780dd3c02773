"""Rows, tables and figures of the class-wise study, from counts made by hand."""

import dataclasses
import types

import numpy
import pytest

from dare import flags as saved
from reporting import tables
from studies.classwise import attack, figures
from studies.classwise import rows as class_rows
from studies.classwise import tables as class_tables


@pytest.fixture
def row(class_row):
    return class_row


def test_measures_of_saved_flags_are_counted_by_class(classes):
    generator = numpy.random.default_rng(0)
    y = numpy.arange(40) % 4
    split = types.SimpleNamespace(y_test=y, y_train=y[::-1], classes=tuple(classes), fingerprint="d", name="digits")
    rows = numpy.arange(0, 40, 2)
    predicted = generator.integers(0, 4, 40).astype("int32")
    measured = {"clean": predicted, "white-box/pgd@0.1": predicted[1::2]}
    index = {"clean": numpy.arange(40), "white-box/pgd@0.1": numpy.arange(20)}
    truth = {name: y[index[name]] for name in measured}
    flags = saved.Flags(measured, truth, index, {}, "m", "d")
    by_measure = class_rows.measures(flags, split)
    for name in measured:
        for label in range(4):
            own = truth[name] == label
            correct = (measured[name][own] == label).sum()
            assert by_measure[name]["total"][label] == own.sum() and by_measure[name]["right"][label] == correct
            for other in range(4):
                expected = (measured[name][own] == other).sum()
                assert class_rows.confusions(flags, split)[name][label][other] == expected
    assert len(rows) == 20
    with pytest.raises(ValueError, match="flags of data d, expected e"):
        class_rows.measures(flags, types.SimpleNamespace(**{**vars(split), "fingerprint": "e"}))
    earlier = {name: numpy.where(measured[name] == labels, labels, saved.UNKNOWN) for name, labels in truth.items()}
    with pytest.raises(ValueError, match="saved flags of model m lack labels: delete them and test again"):
        class_rows.measures(dataclasses.replace(flags, label=earlier), split)


def test_seeds_are_added_up(row):
    first, second = row("pgd-7"), row("pgd-7", robust=(20, 40, 60, 70), seeds=[1], weight_norms=[[4.0, 3, 2, 1]])
    pooled = class_rows.pool([first, second])
    worst = class_rows.divided(pooled["measures"]["white-box/worst@0.1"])
    assert worst.correct.tolist() == [30, 80, 120, 150] and worst.total.tolist() == [200] * 4
    assert pooled["confusion"]["clean"][0][0] == 200 and len(pooled["weight_norms"]) == 2 and pooled["seeds"] == [0, 1]


def test_the_tables(row, classes):
    rows = [row("pgd-7"), row("m+deat", robust=(30, 40, 50, 60)), row("pgd-7-bias", role="lever"),
            row("pgd-7-without-cat", (1, 2, 3), role="retrained", classes=classes[1:], total=[100] * 3)]  # fmt: skip
    summary, by_class, clean_by_class, attacks, models = class_tables.class_tables(rows)
    assert [cell.value for cell in clean_by_class.rows[0][1:]] == [90] * 4 and by_class.rows[0][1].low < 30
    assert attacks.rows[0][1].value == 1 and [line[0] for line in models.rows] == ["m+deat", "pgd-7"]
    assert [line[0] for line in summary.rows] == ["m+deat", "pgd-7", "pgd-7-bias"]
    _, clean, _, robust, worst, which, deviation, spread = summary.rows[1]
    assert (clean.value, robust.value, worst.value, which) == (90, 47.5, 10, "cat")
    assert deviation.value == pytest.approx(numpy.std([10, 40, 60, 80])) and spread.value == pytest.approx(70)
    assert worst.low < 10 < worst.high
    assert [cell.value for cell in by_class.rows[0][1:]] == [30, 40, 50, 60] and by_class.columns[1:] == tuple(classes)
    assert all(tables.markdown(table) for table in (summary, by_class))
    assert [name for name, _, _ in figures.figures(rows)] == [
        f"digits-small_cnn-{part}" for part in ("classes", "confusion", "levers")
    ]


def test_without_apgd_t_the_strongest_stands_for_the_worst_case(row):
    single = row("a")
    del single["measures"]["white-box/worst@0.1"]
    single["measures"]["white-box/fgsm@0.1"]["value"], single["measures"]["white-box/pgd-20@0.1"]["value"] = 50.0, 40.0
    assert class_rows.worst(single) == "white-box/pgd-20@0.1"
    summary = class_tables.class_tables([single])[0]
    assert "under the strongest attack (neither APGD-T nor AutoAttack is among them)" in summary.notes[0]


def test_reached_classes_are_counted():
    """Five classes; the first two images of class 0 reach 1 and 2, of the other two one reaches 1, one 3 and 4."""
    labels = numpy.array([0, 0, 0, 0, 1, 2, 3, 4])
    reachable_classes = numpy.zeros((8, 5), bool)
    for image, classes in enumerate(([0, 1, 2], [0, 1, 2], [0, 1], [0, 3, 4], [1], [2], [3], [])):
        reachable_classes[image, classes] = True
    counts = attack.count_reached(reachable_classes, labels)
    assert counts["pairs"][0] == [4, 3, 2, 1, 1] and counts["images"] == [4, 1, 1, 1, 1]
    assert (counts["attackable"], counts["judged"], counts["similar"]) == (4, 2, 1)
    assert counts["sizes"] == [0, 1, 3, 0, 0]


def test_flags_are_packed_into_text():
    flags = numpy.random.default_rng(0).random(37) < 0.5
    text = class_rows.packed(flags)
    assert text.startswith("37:") and len(text) == 13
    numpy.testing.assert_array_equal(class_rows.unpacked(text), flags)


def test_as_many_images_of_each_class():
    labels = numpy.repeat([0, 1, 2], [50, 10, 3])
    rows = attack.even(labels, 30, 0)
    assert numpy.bincount(labels[rows]).tolist() == [10, 10, 3] and rows.tolist() == sorted(set(rows))
