"""What the change of a model's answers is counted as."""

import numpy
import pytest

from dare.flags import Flags
from studies.dare import measured


def flags(predicted, label):
    """Flags of clean images alone."""
    rows = numpy.arange(len(label))
    arrays = [{"clean": numpy.asarray(part)} for part in (predicted, label, rows)]
    return Flags(*arrays, {}, model="", data="")


def measures(before, repeats, label):
    """The measures of repeats that predict so; before: classes of the original."""
    found = [flags(predicted, label) for predicted in repeats]
    about = {"dataset": "digits", "model": "alexnet", "method": "dare"}
    return measured.measures(found, **about, before=numpy.asarray(before), failed=None)


def test_changed_repaired_and_broken():
    """Of six images the original misclassifies two: one repeat repairs one and breaks one, the other leaves all."""
    before, label = [0, 1, 2, 3, 0, 0], [0, 1, 2, 3, 4, 5]
    made = measures(before, [[0, 1, 2, 0, 4, 1], before], label)
    assert made["changed"]["values"] == [50.0, 0.0]
    assert made["rr"]["values"] == [50.0, 0.0] and made["rr"]["n"] == 2
    assert made["nfr"]["values"] == pytest.approx([16.67, 0.0]) and made["nfr"]["n"] == 6
    assert made["br"]["values"] == [25.0, 0.0] and made["br"]["n"] == 4
    gained = made["clean"]["values"][0] - 100 * 4 / 6
    assert gained == pytest.approx(made["rr"]["values"][0] * 2 / 6 - made["nfr"]["values"][0], abs=0.01)


def test_no_repair_rate_without_failures():
    made = measures([0, 1], [[1, 1]], [0, 1])
    assert "rr" not in made and made["nfr"]["value"] == 50.0 and made["changed"]["value"] == 50.0


def test_no_break_rate_without_a_correct_image():
    assert "br" not in measures([1, 0], [[0, 1]], [0, 1])


@pytest.mark.parametrize(
    ("record", "images"),
    [
        ({"steps": 10, "epochs": None, "batch_size": 128}, 1280),  # dare
        ({"steps": None, "epochs": 10, "batch_size": 32}, 7000),  # dare-s, on all mined samples
        ({"images": 196, "steps": 140, "arguments": {"epochs": 20}}, 3920),  # adversarials, the last batch is smaller
        ({"epochs": 24, "temperature": 10.0}, None),  # distillation trains anew
        ({"learning_rate": 1e-6}, None),  # a control
    ],
)
def test_the_passes_of_a_tuning(record, images):
    assert measured.passes(record, 700) == images
