"""Figures are drawn from small data, and saved as the same PNG bytes every time."""

import struct

import numpy
import pytest

from reporting import figures, report, tables
from studies.dare import figures_of_cell, figures_of_rows, mined
from studies.dare import report as dare_report


def history(epochs=6):
    names = ("loss", "accuracy", "validation_loss", "validation_accuracy")
    return [
        {"epoch": str(epoch), "learning_rate": 0.01 if epoch < 4 else 0.001, **dict.fromkeys(names, 1 / epoch)}
        for epoch in range(1, epochs + 1)
    ]


def examples(channels, attack="fgsm", count=3):
    generator = numpy.random.default_rng(0)
    originals = generator.integers(0, 256, (count, 9, 9, channels), "uint8")
    noise = generator.uniform(-0.02, 0.02, originals.shape)
    adversarials = numpy.clip(originals / 255 + noise, 0, 1).astype("float32")
    adversarials[:1] = originals[:1].astype("float32") / 255
    names = ("T-shirt/top", "$a_b$", "c")
    return figures_of_cell.adversarial_examples(
        originals, adversarials, [0, 1, 2][:count], [0, 2, 1][:count], names, attack
    )


def draw(name, rows):
    return {
        "history": lambda: figures_of_cell.training_history(history()),
        "one-epoch": lambda: figures_of_cell.training_history(history(1)),
        "epochs": lambda: mined.chosen_epochs([3, 4, 5], [2, 0, 1], [0.0, 1e-3, 0.4]),
        "robustness": lambda: figures_of_rows.robustness(rows),
        "one-measure": lambda: figures_of_rows.robustness(rows[:1], ["clean"]),
        "grey": lambda: examples(1),
        "colour": lambda: examples(3),
    }[name]()


@pytest.mark.parametrize("name", ["history", "one-epoch", "epochs", "robustness", "one-measure", "grey", "colour"])
def test_png_is_whole_and_always_the_same(name, rows, tmp_path):
    figures.save(draw(name, rows), tmp_path / "a.png", dpi=60)
    figures.save(draw(name, rows), tmp_path / "b.png", dpi=60)
    first = (tmp_path / "a.png").read_bytes()
    assert first == (tmp_path / "b.png").read_bytes()
    assert first.startswith(b"\x89PNG") and b"Software" not in first and b"tIME" not in first
    width, height = struct.unpack(">II", first[16:24])
    assert 150 <= width <= 2000 and 100 <= height <= 2000
    assert len(first) > 2000


def test_a_figure_for_papers_is_always_the_same_too(rows, tmp_path):
    for name in ("a.pdf", "b.pdf"):
        figures.save(draw("one-measure", rows), tmp_path / name, kind="pdf")
    assert (tmp_path / "a.pdf").read_bytes() == (tmp_path / "b.pdf").read_bytes()
    assert (tmp_path / "a.pdf").read_bytes().startswith(b"%PDF")


def test_what_the_figures_say(rows):
    figure = draw("grey", rows)
    titles = [axis.get_title() for axis in figure.axes]
    assert titles[:3] == ["T-shirt/top", "$a_b$", "c"] and titles[6:] == ["T-shirt/top", "c", "$a_b$"]
    assert titles[3] == "no change" and titles[4].startswith("×")
    assert 48 < float(titles[4][1:]) < 56, "noise of .02 is enlarged about fifty times"
    assert 24 < float(draw("colour", rows).axes[4].get_title()[1:]) < 28, "of colours, around grey, half as much"
    panels = [axis.get_title().split("\n")[0] for axis in draw("robustness", rows).axes if axis.get_visible()]
    assert panels[:2] == ["clean", "ER, FGSM"] and panels[-1] == "white box, PGD at 0.1"


def test_nothing_to_draw():
    for function, arguments in (
        (figures_of_cell.training_history, ([],)),
        (mined.chosen_epochs, ([], [], [])),
        (figures_of_rows.robustness, ([],)),
        (examples, (1, "fgsm", 0)),
    ):
        with pytest.raises(ValueError, match="to draw"):
            function(*arguments)
    with pytest.raises(ValueError, match="expected the same"):
        figures_of_cell.adversarial_examples(
            numpy.zeros((1, 9, 9, 1)), numpy.zeros((1, 9, 9, 3)), [0], [0], ("a",), "fgsm"
        )


def test_report_links_exist(tmp_path, rows):
    table = tables.Table("er", "ER, %", ("method", "fgsm"), (("dare", tables.Cell(1.0)),))
    pictures = [("history", "Training [1].", draw("one-epoch", rows)), ("a b/c", "Two | three.", draw("epochs", rows))]
    facts = {"dataset": "digits", "seeds": [0, 1], "command": "python a.py | tee", "device": None}
    path = report.write_report(
        tmp_path / "report", title="DARE", tables=[table], figures=pictures, facts=facts, left_out=["slice | all"],
        how_to_read=dare_report.HOW_TO_READ,
    )  # fmt: skip
    text = path.read_text(encoding="utf-8")
    links = [part.split(")")[0] for part in text.split("](")[1:]]
    assert links == ["figure-history.png", "figure-a-b-c.png"]
    assert sorted(file.name for file in path.parent.iterdir()) == sorted(
        [*links, *(link.replace(".png", ".pdf") for link in links), "report.md"]
    )
    assert (
        "| seeds | 0, 1 |" in text and "| command | `python a.py \\| tee` |" in text and "| device | unknown |" in text
    )
    headings = [line for line in text.splitlines() if line.startswith("## ")]
    assert headings == ["## What was run", "## Left out", "## Tables", "## Figures", "## How to read the columns"]
    assert "\n- slice \\| all\n" in text
    assert "A high ER shows that the\n  boundary moved" in text
    assert tables.markdown(table) in text
    other = report.write_report(tmp_path / "other", title="", tables=[], figures=[], facts={"commands": ["a", "b|c"]})
    text = other.read_text(encoding="utf-8")
    assert "How to read" not in text and "Left out" not in text and "| commands | `a`<br>`b\\|c` |" in text
    with pytest.raises(ValueError, match="two figures named"):
        report.write_report(tmp_path, title="", tables=[], figures=[pictures[0], pictures[0]], facts={})
