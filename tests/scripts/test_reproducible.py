"""A row is remade by its own commands: tests/scripts/golden/digits-alexnet@0.1-dare.json, DARE on the bundled digits.

The row is made, and after a change that means to move numbers made again, from committed code by

    python tests/scripts/test_reproducible.py
"""

import json
import os
import pathlib
import shlex
import shutil
import subprocess
import sys
import tempfile

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
GOLDEN = pathlib.Path(__file__).parent / "golden" / "digits-alexnet@0.1-dare.json"
MADE_BY = ("versions", "device", "cores", "kernels", "floatx", "image_data_format")
CELL = "--dataset digits --model alexnet@0.1 --deterministic --quiet"
COMMANDS = (
    f"python scripts/dare/1_train.py {CELL} --epochs 25 --batch-size 32",
    f"python scripts/dare/2_slice.py {CELL}",
    f"python scripts/dare/3_get_ats.py {CELL}",
    f"python scripts/dare/4_generate_adv.py {CELL} --attack fgsm --parts 0 0 200 0",
    f"python scripts/dare/5_finetune_dare.py {CELL} --variant dare --learning-rates 1e-4 --repeats 2",
    f"python scripts/dare/7_test.py {CELL} --attack fgsm --white-box pgd --white-box-images 100",
)


def made_by(commands, folder):
    """Run commands in `folder`, each in its own process; the row that they make there."""
    for line in commands:
        _, script, *options = shlex.split(line)
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        subprocess.run([sys.executable, str(ROOT / script), *options], cwd=folder, env=environment, check=True)
    [path] = pathlib.Path(folder).glob("runs/dare/*/seed0/test-dare/row.json")
    return path


@pytest.mark.slow
def test_a_row_is_remade_by_its_own_commands(tmp_path):
    """To the digit with the row's own versions, kernels and cores. Elsewhere training rounds otherwise and leaves
    another net: then its 95 % interval and the row's overlap (but for medians, which have none, and for enlarged
    perturbations, which depend most on the net)."""
    row = json.loads(GOLDEN.read_text(encoding="utf-8"))
    commands = dict.fromkeys([*row["commands"].values(), row["command"]])
    assert {*commands} == {*COMMANDS}, "the row names every command that it was made by"
    again = json.loads(made_by(commands, tmp_path).read_text(encoding="utf-8"))
    for name in ("command", "commands", "attacks", "hyperparameters", "seeds", "repeats", "method"):
        assert again[name] == row[name]
    assert again["measures"].keys() == row["measures"].keys()
    if all(again[name] == row[name] for name in MADE_BY):
        assert again["measures"] == row["measures"] and again["checks"] == row["checks"]
        return
    for name, measure in row["measures"].items():
        if "interval" in measure and not name.startswith("er-x"):
            (low, high), (below, above) = measure["interval"], again["measures"][name]["interval"]
            assert low <= above and below <= high, name


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        GOLDEN.parent.mkdir(exist_ok=True)
        shutil.copy(made_by(COMMANDS, scratch), GOLDEN)
