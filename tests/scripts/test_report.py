"""The report of a finished small cell: every method, table and figure; and the figures of adversarials that moved."""

import argparse
import dataclasses
import re
import shutil

import numpy
import pytest

from adv import adversarial_set
from results import dare_report


@pytest.fixture
def report(study):
    return study.cell.parent / "report"


def test_it_shows_every_method_of_the_cell(study, report):
    methods = [path.name.removeprefix("test-") for path in study.cell.glob("test-*")]
    text = (report / "report.md").read_text()
    assert len(methods) == 12 and all(re.search(rf"\| {re.escape(method)}( †)? \|", text) for method in methods)
    said = study.said["8_tables"].out
    assert "original" in said and max(map(len, said.splitlines())) > 80


def test_it_has_every_figure_and_the_tables_in_three_formats(study, report):
    shown = re.findall(r"]\(figure-(.*?)\.png\)", (report / "report.md").read_text())
    assert {"training-history", "chosen-epochs", "frozen-share", "slice-size", "robustness"} <= set(shown)
    assert {"transfer-pgd-0.02", "transfer-pgd-0.1", "er-by-attack"} <= set(shown)
    tables = {"mining", *(f"dare-{study.cell.parent.name}-{kind}" for kind in ("er", "transfer", "white-box"))}
    written = {path.name for path in report.iterdir()}
    assert {f"{name}.{ending}" for name in tables for ending in ("md", "tex", "csv")} <= written
    assert {f"figure-{name}.png" for name in shown} <= written


def test_adversarials_that_moved_are_shown_with_their_sizes(study, tmp_path):
    """Those of the small cell have not: its net is at chance and gets nearly every image wrong from the start."""
    cell = tmp_path / "seed0"
    shutil.copytree(study.cell, cell)
    for path in cell.glob("generate_adv-*/adversarials.h5"):
        made = adversarial_set.load(path)
        part = made.parts["test"]
        moved = dataclasses.replace(part, images=numpy.clip(part.images + numpy.float32(0.05), 0, 1))
        dataclasses.replace(made, parts=made.parts | {"test": moved}).save(path)
    given = argparse.Namespace(data_dir=None, unverified=False, quiet=True)
    found = {name: (caption, figure) for name, caption, figure in dare_report.draw(given, cell)}
    assert found["examples-fgsm"][0] == "The first adversarial images of fgsm."
    assert len(found["examples-pgd"][1].axes) == 3 * 8, "original, perturbation and result of eight images"
    for norm in ("linf", "l2"):
        (axis,) = found[f"perturbation-sizes-{norm}"][1].axes
        assert [line.get_label().partition(":")[0] for line in axis.lines[:2]] == ["fgsm", "pgd"]
