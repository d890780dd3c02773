"""pack.py and reproduce.py --from-artefacts: a cell is packed, its runs are deleted, its numbers come back."""

import json
import shutil
import subprocess
import sys
import zipfile

import numpy
import pytest

import data
import models
from data import release
from studies import light_parts
from studies.dare import cards

NAME = "digits-alexnet@0.03"


@pytest.fixture(scope="module")
def packed(study, shell, tmp_path_factory):
    """A release of the small study in a folder without runs: .path, what was printed."""
    folder = tmp_path_factory.mktemp("packed")
    path = folder / "release.zip"
    completed = shell.here("pack", "--runs", str(study.folder / "runs"), "--out", str(path), "--quiet", cwd=folder)
    assert completed.code == 0, completed.err
    return path, completed.out


def again(shell, path, folder):
    line = [sys.executable, str(shell.scripts / "reproduce.py"), "--from-artefacts", str(path), "--quiet"]
    return subprocess.run(line, cwd=folder, capture_output=True, text=True, check=False)


def test_every_number_comes_back_without_the_runs(study, shell, packed, tmp_path):
    path, printed = packed
    assert "pack: 1 cell" in printed
    completed = again(shell, path, tmp_path)
    assert completed.returncode == 0, completed.stdout + completed.stderr
    rows = sorted(study.cell.glob("test-*/row.json"))
    assert f"{len(rows)} rows scored again, 0 differences" in completed.stdout
    folder = tmp_path / "runs" / "rescored"
    for row in rows:
        ours = json.loads((folder / NAME / "seed0" / row.parent.name / "row.json").read_text())
        assert ours["measures"] == json.loads(row.read_text())["measures"]
    table = (folder / "tables" / f"dare-{NAME}-er.csv").read_text()
    assert table == (study.cell.parent / "report" / f"dare-{NAME}-er.csv").read_text()


def test_a_number_that_differs_is_named(shell, packed, tmp_path):
    changed = tmp_path / "changed.zip"
    with release.reading(packed[0]) as opened, release.writing(changed, opened.facts) as add:
        for name in opened.names:
            content = opened.content(name)
            if name.endswith("/dare/row.json"):
                row = json.loads(content)
                row["measures"]["er/fgsm"].update(value=99.0, values=[99.0])
                content = json.dumps(row).encode()
            add(name, content)
    completed = again(shell, changed, tmp_path)
    assert (
        completed.returncode == 1
        and f"{NAME}/seed0/dare: er/fgsm is" in completed.stdout
        and "99.0 in the release" in completed.stdout
    )


@pytest.mark.parametrize(
    "facts",
    [{}, {"cells": [1]}, {"cells": [{"folder": "../x", "dataset": "digits", "model": "m", "seed": 0, "methods": {},
                                    "attacks": {}}]}],
)  # fmt: skip
def test_a_foreign_release_is_one_sentence(shell, tmp_path, facts):
    with release.writing(tmp_path / "a.zip", facts):
        pass
    completed = again(shell, tmp_path / "a.zip", tmp_path)
    assert (
        completed.returncode == 2 and len(completed.stderr.strip().splitlines()) == 1 and "pack.py" in completed.stderr
    )


def test_a_net_of_a_release_by_name(packed, study, monkeypatch):
    model = models.load_published(f"{NAME}-dare", packed[0])
    flags = next(iter(sorted((study.cell / "test-dare").glob("flags-0.h5"))))
    split = data.half_split(data.load("digits"), seed=0)
    predicted = model.predict(data.to_unit(split.x_test), verbose=0).argmax(1)
    from dare.flags import Flags

    assert numpy.array_equal(predicted, Flags.load(flags).prediction["clean"])
    monkeypatch.setenv("DARE_RELEASE", str(packed[0]))
    assert models.fingerprint(models.load_published(f"{NAME}-dare")) == models.fingerprint(model)
    with pytest.raises(ValueError, match=f"the nearest of its .*: .*{NAME}-dare"):
        models.load_published(f"{NAME}-dar")


def test_a_card_says_what_a_net_is(packed):
    with zipfile.ZipFile(packed[0]) as archive:
        card = archive.read(f"{NAME}/seed0/dare/card.md").decode()
    for part in ("digits", "learning_rate", "clean", "Intended use", cards.USE, "white box"):
        assert part in card


def test_light_parts_hold_rows_flags_and_records(study, shell, tmp_path):
    shutil.copytree(study.folder / "runs", tmp_path / "runs")
    completed = shell.here("pack", "--light", "--out", "out", "--part", "1", cwd=tmp_path)
    assert completed.code == 0, completed.err
    names = []
    for path in sorted((tmp_path / "out").glob("part-*.zip")):
        with release.reading(path) as opened:
            names += opened.names
    paths = [path for path in (tmp_path / "runs").rglob("*") if path.match("row*.json") or path.match("flags-*.h5")]
    assert {path.relative_to(tmp_path / "runs").as_posix() for path in paths} <= {*names}
    assert not any("weights" in name or "adversarials" in name for name in names)
    with pytest.raises(ValueError, match="expected at most"):
        light_parts.write(tmp_path / "runs", tmp_path / "out", most=100)
    with pytest.raises(FileNotFoundError, match="no row"):
        light_parts.write(tmp_path / "none", tmp_path / "out", most=100)
