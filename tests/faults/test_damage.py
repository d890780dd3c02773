"""A flipped bit, a cut file and a foreign file of every kind that a stage leaves, finished or not.

What the next stage reads is refused in one sentence that names the file; what an unfinished stage left is refused or
made again, and then everything is as in an uninterrupted run.
"""

import random
import re
import shutil
import signal
import time

import pytest

pytestmark = pytest.mark.faults
READERS = {  # stage -> one that reads what it wrote
    "dare/1_train": "dare/2_slice",
    "dare/2_slice": "dare/5_finetune_dare",
    "dare/3_get_ats": "dare/5_finetune_dare",
    "dare/4_generate_adv": "dare/7_test",
    "dare/5_finetune_dare": "dare/7_test",
    "robust_training/1_train": "robust_training/2_test",
    "guided_retraining/1_train": "guided_retraining/2_inputs",
    "guided_retraining/2_inputs": "guided_retraining/3_rank",
    "guided_retraining/3_rank": "guided_retraining/4_retrain",
}


def flip(path, chance):
    content = bytearray(path.read_bytes())
    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    path.write_bytes(content)


def cut(path, chance):
    path.write_bytes(path.read_bytes()[: chance.randrange(path.stat().st_size)])


def replace(path, chance):
    path.write_text("<html>404</html>" * chance.randrange(1, 500))


DAMAGES = {"flipped bit": flip, "cut": cut, "foreign": replace}


def kinds(stages, script, folder, unfinished=False):
    """One file of every kind that a stage wrote: names without their numbers -> path; or of its unfinished part."""
    found = {}
    for one in stages.made(script, folder):
        if unfinished and (one / "run.json").is_file():
            continue
        for path in sorted(one.rglob("*")):
            if path.is_file() and path.stat().st_size:
                found[re.sub(r"\d+", "#", str(path.relative_to(one)))] = path
    return found


def count(stages, script, folder):
    return sum(path.is_file() for one in stages.made(script, folder) for path in one.rglob("[!.]*"))


@pytest.mark.parametrize("script", READERS)
def test_what_the_next_stage_reads(script, whole, stages, tally, tmp_path):
    reader, chance = READERS[script], random.Random(script)
    folder = stages.before(reader, whole.folder, tmp_path / "run")
    for kind, path in kinds(stages, script, folder).items():
        if kind.endswith(".optimizer.h#"):
            continue  # for resuming alone
        content = path.read_bytes()
        for damage, spoil in DAMAGES.items():
            spoil(path, chance)
            said = stages.here(reader, folder)
            stages.refused(said.code, said.err, path.name)
            assert not list(folder.rglob(".writing-*")), (kind, damage)
            tally[f"{damage} {script} {kind}: refused by {reader}"] += 1
            path.write_bytes(content)


@pytest.mark.parametrize("script", sorted({*READERS, *READERS.values(), "classwise/1_attack"}))
def test_what_an_unfinished_stage_left(script, whole, stages, tally, tmp_path):
    folder, chance = stages.before(script, whole.folder, tmp_path / "run"), random.Random(script)
    process = stages.begin(script, folder)
    while process.poll() is None and count(stages, script, folder) < max(1, 0.5 * len(whole.files[script])):
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert kinds(stages, script, folder, True), "it ended before it was killed"
    for kind in kinds(stages, script, folder, True):
        for damage, spoil in DAMAGES.items():
            copy = shutil.copytree(folder, tmp_path / "copy")
            spoiled = kinds(stages, script, copy, True)[kind]
            spoil(spoiled, chance)
            process = stages.begin(script, copy)
            _, err = process.communicate(timeout=600)
            if process.returncode:
                stages.refused(process.returncode, err, spoiled.name)
            else:
                assert stages.files(script, copy) == whole.files[script], (kind, damage)
            tally[f"{damage} {script} {kind}: {'refused' if process.returncode else 'made again'}"] += 1
            shutil.rmtree(copy)
