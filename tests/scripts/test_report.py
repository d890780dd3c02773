"""The report of a finished small cell: every method, table and figure; and the figures of adversarials that moved."""

import argparse
import dataclasses
import json
import re
import shutil

import numpy
import pytest

from adv import adversarial_set
from data import files
from reporting import row
from studies.dare import cell_report as dare_report

pytestmark = pytest.mark.slow


@pytest.fixture
def report(study):
    return study.cell.parent / "report"


def test_it_shows_every_method_of_the_cell(study, report):
    methods = [path.name.removeprefix("test-") for path in study.cell.glob("test-*")]
    text = (report / "report.md").read_text()
    assert len(methods) == 12 and all(re.search(rf"\| {re.escape(method)}( †)? \|", text) for method in methods)
    printed = study.completed["8_tables"].out
    assert "original" in printed and max(map(len, printed.splitlines())) <= 80


def test_it_has_every_figure_and_the_tables_in_three_formats(study, report):
    figure_names = re.findall(r"]\(figure-(.*?)\.png\)", (report / "report.md").read_text())
    assert {"training-history", "chosen-epochs", "frozen-share", "slice-size", "robustness"} <= set(figure_names)
    assert "er-by-attack" in figure_names and any(name.startswith("transfer-") for name in figure_names)
    tables = {"mining", *(f"dare-{study.cell.parent.name}-{kind}" for kind in ("er", "transfer", "white-box"))}
    file_names = {path.name for path in report.iterdir()}
    assert {f"{name}.{ending}" for name in tables for ending in ("md", "tex", "csv")} <= file_names
    assert {f"figure-{name}.png" for name in figure_names} <= file_names


def test_what_was_not_run_is_left_out_and_a_broken_cell_does_not_stop_the_others(study, call, tmp_path):
    whole = tmp_path / "runs" / "dare" / study.cell.parent.name
    shutil.copytree(study.cell.parent, whole)
    cell = whole.with_name("digits-alexnet@0.05")
    shutil.copytree(study.cell, cell / "seed0")
    for stage in ("get_ats", "slice"):
        shutil.rmtree(cell / "seed0" / stage)
    (cell / "seed0" / "train" / "run.json").unlink()
    for path in (cell / "seed0").glob("test-*/row.json"):
        row.save(dataclasses.replace(row.load(path), model="alexnet@0.05"), path)
        record = files.read_sealed(path.parent / "run.json")
        record["outputs"]["row.json"] = files.digest(path)
        files.write_sealed(path.parent / "run.json", record)
    broken = whole.with_name("digits-alexnet@0.04")
    shutil.copytree(study.cell, broken / "seed0")
    (broken / "seed0" / "test-original" / "row.json").write_text("{}")
    completed = call("8_tables")
    assert (
        completed.code == 2
        and "digits-alexnet@0.04: left out, " in completed.err
        and "is not the file" in completed.err
    )
    assert (
        completed.err.splitlines()[-1]
        == "8_tables.py: 1 of 3 cells left out, for the reasons above: digits-alexnet@0.04"
    )
    for stage, script in (("get_ats", "3_get_ats.py"), ("slice", "2_slice.py"), ("train", "1_train.py")):
        sentence = f"figures of {stage}/: scripts/dare/{script} has not finished"
        assert f"tables: digits-alexnet@0.05: left out, {sentence}\n" in completed.out
        assert f"- {sentence}\n" in (cell / "report" / "report.md").read_text()
    assert (whole / "report" / "report.md").is_file() and not (broken / "report").exists()
    text = (cell / "report" / "report.md").read_text()
    assert "figure-robustness.png" in text and "chosen-epochs" not in text and "training-history" not in text


def test_a_set_without_an_image_is_left_out(study, tmp_path):
    shutil.copytree(study.cell, tmp_path / "seed0")
    path = tmp_path / "seed0" / "generate_adv-pgd" / "adversarials.h5"
    adversarials = adversarial_set.load(path)
    part = adversarials.parts["test"]
    empty = adversarial_set.Part(part.images[:0], part.labels[:0], part.index[:0])
    dataclasses.replace(adversarials, parts=adversarials.parts | {"test": empty}).save(path)
    arguments = argparse.Namespace(data_dir=None, unverified=False, quiet=True)
    assert "training-history" in {name for name, *_ in dare_report.draw(arguments, tmp_path / "seed0")}
    assert list(dare_report.left_out(tmp_path / "seed0")) == ["examples of pgd: its test part is empty"]


def test_adversarials_that_moved_are_shown_with_their_sizes(study, tmp_path):
    """Those of the small cell have not: its net is at chance and gets nearly every image wrong from the start."""
    cell = tmp_path / "seed0"
    shutil.copytree(study.cell, cell)
    for path in cell.glob("generate_adv-*/adversarials.h5"):
        adversarials = adversarial_set.load(path)
        part = adversarials.parts["test"]
        moved = dataclasses.replace(part, images=numpy.clip(part.images + numpy.float32(0.05), 0, 1))
        dataclasses.replace(adversarials, parts=adversarials.parts | {"test": moved}).save(path)
    arguments = argparse.Namespace(data_dir=None, unverified=False, quiet=True)
    figures = {name: (caption, figure) for name, caption, figure in dare_report.draw(arguments, cell)}
    assert figures["examples-fgsm"][0] == "The first adversarial images of fgsm."
    assert len(figures["examples-pgd"][1].axes) == 3 * 8, "original, perturbation and result of eight images"
    for norm in ("linf", "l2"):
        (axis,) = figures[f"perturbation-sizes-{norm}"][1].axes
        assert [line.get_label().partition(":")[0] for line in axis.lines[:2]] == ["fgsm", "pgd"]


def test_a_row_says_what_its_method_moved(study):
    rows = {
        name: json.loads((study.cell / f"test-{name}" / "row.json").read_text())["details"]
        for name in ("original", "dare", "weight-noise", "tune-clean", "adv-fgsm")
    }
    assert (rows["original"]["weights_changed"], rows["original"]["passes"]) == ([0], [0])
    assert rows["dare"]["weights_changed"][0] > 0 < rows["dare"]["relative_change"][0]
    assert rows["weight-noise"]["relative_change"] == pytest.approx(rows["dare"]["relative_change"], rel=0.05)
    assert rows["weight-noise"]["passes"] == [None] and rows["tune-clean"]["passes"] == rows["dare"]["passes"]
    tuned = json.loads((study.cell / "finetune_adv-fgsm" / "run.json").read_text())
    assert rows["adv-fgsm"]["passes"] == [tuned["images"] * tuned["arguments"]["epochs"]]
    assert rows["dare"]["passes"] == [10 * 128]
