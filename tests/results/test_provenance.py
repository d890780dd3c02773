"""What is recorded of how a result was made: the command, the commit, nothing of one machine."""

import os
import subprocess
import sys

from results import provenance


def test_the_command_is_that_of_the_checkout_without_folders_of_one_machine(monkeypatch):
    script = provenance.ROOT / "scripts" / "dare" / "1_train.py"
    given = ["--runs", "my runs", "--dataset", "folder:my cats", "--data-dir=here", "--epochs", "3"]
    monkeypatch.setattr(sys, "argv", [str(script), *given])
    assert provenance.facts()["command"] == "python scripts/dare/1_train.py --dataset 'folder:my cats' --epochs 3"
    monkeypatch.setattr(sys, "argv", ["/somewhere/else.py"])
    assert provenance.facts()["command"] == "python else.py"


def test_the_commit_is_that_of_the_checkout_whatever_the_folder(tmp_path, monkeypatch):
    head = subprocess.run(["git", "-C", provenance.ROOT, "rev-parse", "HEAD"], capture_output=True, text=True)
    monkeypatch.chdir(tmp_path)
    found = provenance.commit()
    assert found["commit"] == (head.stdout.strip() if head.returncode == 0 else None)
    monkeypatch.setattr(os, "environ", {**os.environ, "PATH": ""})
    assert provenance.commit() == {"commit": None, "dirty": None}


def test_a_recorded_command_names_no_folder_of_this_machine():
    command = "python scripts/dare/7_test.py --runs '/some where' --dataset folder:a --data-dir=/data --quiet"
    assert provenance.literal(command) == "python scripts/dare/7_test.py --dataset folder:a --quiet"
