"""The provenance of a result: the command and the commit, without folders of one machine."""

import os
import subprocess
import sys

import pytest

from pipeline import provenance


def test_the_command_is_that_of_the_checkout_without_folders_of_one_machine(monkeypatch):
    script = provenance.ROOT / "scripts" / "dare" / "1_train.py"
    line = ["--runs", "my runs", "--dataset", "folder:my cats", "--data-dir=here", "--epochs", "3"]
    monkeypatch.setattr(sys, "argv", [str(script), *line])
    assert provenance.facts()["command"] == "python scripts/dare/1_train.py --dataset 'folder:my cats' --epochs 3"
    monkeypatch.setattr(sys, "argv", ["/somewhere/else.py"])
    assert provenance.facts()["command"] == "python else.py"


def test_the_commit_is_that_of_the_checkout_whatever_the_folder(tmp_path, monkeypatch):
    head = subprocess.run(["git", "-C", provenance.ROOT, "rev-parse", "HEAD"], capture_output=True, text=True)
    monkeypatch.chdir(tmp_path)
    commit = provenance.commit()
    assert commit["commit"] == (head.stdout.strip() if head.returncode == 0 else None)
    monkeypatch.setattr(os, "environ", {**os.environ, "PATH": ""})
    assert provenance.commit() == {"commit": None, "dirty": None}


def test_the_repository_is_ours_whatever_the_environment_says_and_none_where_ours_is_in_another(tmp_path, monkeypatch):
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    monkeypatch.setenv("GIT_DIR", str(tmp_path / ".git"))
    assert provenance.commit() == provenance.AT_START
    (tmp_path / "copy").mkdir()
    monkeypatch.setattr(provenance, "ROOT", tmp_path / "copy")
    assert provenance.commit() == {"commit": None, "dirty": None}


def test_what_decides_on_the_last_bits_is_recorded(monkeypatch):
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    facts = provenance.facts()
    assert facts["kernels"]["TF_ENABLE_ONEDNN_OPTS"] == "0" and "XLA_FLAGS" not in facts["kernels"]
    assert facts["floatx"] == "float32" and facts["image_data_format"] == "channels_last"
    assert facts["cores"] == len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else facts["cores"] > 0
    assert set(provenance.WATCHED) <= set(facts)


@pytest.mark.parametrize(
    ("flags", "expected"), [([False, True, None], True), ([False, None], None), ([False, False], False), ([], False)]
)
def test_several_are_dirty_where_one_is_and_unknown_where_one_is_unknown(flags, expected):
    assert provenance.any_dirty(flags) is expected


def test_a_recorded_command_names_no_folder_of_this_machine():
    command = "python scripts/dare/7_test.py --runs '/some where' --dataset folder:a --data-dir=/data --quiet"
    assert provenance.literal(command) == "python scripts/dare/7_test.py --dataset folder:a --quiet"


def test_a_commit_or_an_edit_while_it_runs_is_not_that_of_the_code_that_runs(monkeypatch):
    monkeypatch.setattr(provenance, "commit", lambda: {"commit": "later", "dirty": True})
    assert {name: provenance.facts()[name] for name in ("commit", "dirty")} == provenance.AT_START


def test_a_script_of_another_checkout_is_refused(tmp_path):
    script = tmp_path / "other" / "scripts" / "dare" / "1_train.py"
    script.parent.mkdir(parents=True)
    provenance.check_checkout(script)  # no checkout: nothing of its own to be taken for
    (tmp_path / "other" / "pipeline").mkdir()
    with pytest.raises(ValueError, match="another checkout: use the environment of"):
        provenance.check_checkout(script)
    provenance.check_checkout(provenance.ROOT / "scripts" / "dare" / "1_train.py")
    provenance.check_checkout(tmp_path / "pytest")
