"""The table of what mining chose, against the numbers counted by hand."""

import numpy
import pytest

from dare.targets import Targets
from reporting import tables
from studies.dare import mined


def targets(epochs, gains):
    count = len(epochs)
    rows = numpy.arange(count)
    return Targets(rows, numpy.array(epochs), numpy.zeros((count, 2)), numpy.array(gains, "float32"), "conv5")


def test_the_summary_counts():
    table = mined.summary(targets([5, 7, 7, 9], [0.5, 0.001, 0.25, 0.0]), 16)
    cells = {name: str(cell) for name, cell in table.rows}
    assert table.title == "Mined activations at conv5"
    assert list(cells.values()) == [
        *("16", "4", "25.0", "3", "5", "9", "7", "50.0"),
        *("0.1878", "0.1255", "0.5000", "50.0"),
    ]
    assert "selected (%),25.0\n" in tables.to_csv(table)


@pytest.mark.parametrize(("epochs", "of"), [([], 3), ([4, 4], 1)])
def test_more_selected_than_mined_or_none_is_refused(epochs, of):
    with pytest.raises(ValueError, match=f"{len(epochs)} samples selected of {of}"):
        mined.summary(targets(epochs, [0.1] * len(epochs)), of)


@pytest.mark.parametrize(
    ("selected", "of", "passed"),
    [(2, 72, False), (127, 128, False), (128, 128, True), (128, 2560, True), (128, 2561, False), (1500, 30_000, True)],
)
def test_a_mined_set_of_less_than_a_batch_or_a_twentieth_is_named(selected, of, passed):
    check = mined.few(selected, of)
    assert (check.name, check.passed) == ("few-mined", passed) and check.seen == f"{selected} of {of} samples selected"
    [stored] = mined.checks_of({"train": {}, "get_ats": {"selected": selected, "of": of}})
    assert stored == {
        "name": "few-mined",
        "passed": passed,
        "seen": check.seen,
        "expected": check.expected,
        "value": None,
    }
    assert mined.checks_of({"train": {}}) == []
