"""A sweep on a real SLURM of one node: cancelled, its node restarted, submitted again, it ends with a local run's rows.

Debian: apt-get install slurm-wlm munge, and a slurm.conf whose only node is this machine with at least two CPUs and
6 GB, whose state you may change (SlurmUser or root); then pytest -m cluster tests/cluster. Ten minutes.
"""

import json
import pathlib
import shutil
import subprocess
import sys
import time

import numpy
import PIL.Image
import pytest

from reporting import row as result_row

pytestmark = pytest.mark.cluster
SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "scripts" / "reproduce.py"
STUDY = ["--study", "robust_training", "--preset", "quick", "--quiet", "--unverified"]
SWEEP = ["--model", "small_cnn@0.05", "small_cnn@0.08", "--seed", "0", "1"]
VARYING = (
    "command",
    "commit",
    "commits",
    "continued",
    "cores",
    "devices",
    "kernels",
    "dirty",
    "wall_s",
    "training_s",
    "probe_s",
    "commands",
    "device",
    "versions",
    "origins",
)


def reproduce(folder, *options):
    line = [sys.executable, str(SCRIPT), *STUDY, *options]
    return subprocess.run(line, cwd=folder, capture_output=True, text=True, check=False)


def states(folder, sweep):
    status = reproduce(folder, *sweep, "--cluster", "slurm", "--status")
    first = status.stdout.splitlines()[0]
    return {word: int(count) for count, word in (part.split() for part in first.split(", "))}, status.stdout


def until(done, seconds=1800):
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline
        time.sleep(2)


def rows(folder):
    """Every row, without what differs from run to run: times, commands, machine."""
    by_path = {}
    for path in sorted((folder / "runs" / "robust_training").glob("*/seed*/*/row.json")):
        row = result_row.load(path)
        by_path[str(path.relative_to(folder))] = {name: value for name, value in row.items() if name not in VARYING}
    return by_path


def restart_node():
    """The node goes down with what runs on it, and comes back."""
    nodes = subprocess.run(["sinfo", "-h", "-N", "-o", "%N"], capture_output=True, text=True, check=True)
    update = ["scontrol", "update", f"nodename={nodes.stdout.split()[0]}"]
    subprocess.run([*update, "state=down", "reason=restart"], check=True)
    time.sleep(5)
    subprocess.run([*update, "state=resume"], check=False)  # its daemon may have brought it back already


@pytest.fixture
def sweep(tmp_path):
    """Options of two data sets, two models, two seeds; one of the data sets is a folder of images."""
    generator = numpy.random.default_rng(0)
    for label in range(3):
        (tmp_path / "shapes" / str(label)).mkdir(parents=True)
        for place in range(150):
            pixels = generator.integers(0, 120, (28, 28), numpy.uint8)
            pixels[8 * label : 8 * label + 8, place % 20 : place % 20 + 8] += 120
            PIL.Image.fromarray(pixels).save(tmp_path / "shapes" / str(label) / f"{place}.png")
    return ["--dataset", "digits", f"folder:{tmp_path / 'shapes'}", *SWEEP]


def test_a_sweep_survives_and_equals_the_local_one(sweep, tmp_path):
    if shutil.which("sbatch") is None:
        pytest.fail("no SLURM here: see the docstring")
    far, near = tmp_path / "far", tmp_path / "near"
    far.mkdir(), near.mkdir()
    options = ["--cluster", "slurm", "--cpus", "1", "--memory", "3"]
    first = reproduce(far, *sweep, *options)
    assert first.returncode == 0 and first.stdout.startswith("8 of 8 cells submitted"), first.stderr
    jobs = json.loads((far / "runs" / "cluster" / "robust_training-quick" / "jobs.json").read_text())["cells"]
    ids = [job["id"] for job in jobs.values()]
    assert len({job_id.partition("_")[0] for job_id in ids}) == 1, "one array"
    until(lambda: states(far, sweep)[0]["running"] >= 2)
    subprocess.run(["scancel", ids[0]], check=True)
    restart_node()
    until(lambda: states(far, sweep)[0]["running"] + states(far, sweep)[0]["waiting"] == 0)
    counts, output = states(far, sweep)
    assert counts["failed"] == 1 and counts["done"] == 7, output
    assert f"failed: {next(iter(jobs))}" in output and "$ python" in output and "--seed 0" in output
    second = reproduce(far, *sweep, *options)
    assert second.stdout.startswith("1 of 8 cells submitted"), second.stdout + second.stderr
    until(lambda: states(far, sweep)[0]["done"] == 8)
    until(lambda: list((far / "runs" / "robust_training").glob("*/report/report.md")))
    local = reproduce(near, *sweep, "--workers", "2")
    assert local.returncode == 0, local.stderr
    assert rows(far) == rows(near) and len(rows(far)) == 8 * 3
