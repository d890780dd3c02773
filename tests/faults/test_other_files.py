"""Files that were lost, added, swapped or damaged in the folder of a stage, finished or not: each named, none used.

pytest -m faults tests/faults -s; FAULTS_FILES says how many (200), FAULTS_SEED which. A file that the next stage does
not read may be another one unseen: then what that stage makes is as in an uninterrupted run.
"""

import os
import random
import re
import shutil

import pytest

pytestmark = pytest.mark.faults
FILES, SEED = int(os.environ.get("FAULTS_FILES", "200")), int(os.environ.get("FAULTS_SEED", "0"))
READERS = {  # stage -> those that read what it wrote
    "dare/1_train": ["dare/2_slice", "dare/3_get_ats", "dare/4_generate_adv"],
    "dare/2_slice": ["dare/5_finetune_dare"],
    "dare/3_get_ats": ["dare/5_finetune_dare"],
    "dare/4_generate_adv": ["dare/5_finetune_dare", "dare/7_test"],
    "dare/5_finetune_dare": ["dare/7_test"],
    "robust_training/1_train": ["robust_training/2_test", "classwise/1_attack"],
    "guided_retraining/1_train": ["guided_retraining/2_inputs"],
    "guided_retraining/2_inputs": ["guided_retraining/3_rank"],
    "guided_retraining/3_rank": ["guided_retraining/4_retrain"],
}


def written(folder):
    """The files that a stage wrote, by name."""
    paths = [path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")]
    return sorted(path for path in paths if path.name not in ("run.json", "started.json"))


def lose(path, chance, others):
    path.unlink()
    return path


def add(path, chance, others):
    """A file with a name that a stage might mistake for its own: the next number, another letter."""
    last = [*re.finditer(r"\d+", path.name)]
    if last:
        number = last[-1]
        other = f"{int(number[0]) + chance.randrange(20, 90):0{len(number[0])}d}"
        name = path.name[: number.start()] + other + path.name[number.end() :]
    else:
        name = f"x{path.name}"
    shutil.copy(path, path.with_name(name))
    return path.with_name(name)


def swap(path, chance, others):
    """Replace a file by another one of its kind, of this stage or a neighbouring one."""
    alike = [other for other in others if other.suffix == path.suffix and other.read_bytes() != path.read_bytes()]
    if not alike:
        return None
    shutil.copy(chance.choice(alike), path)
    return path


def flip(path, chance, others):
    content = bytearray(path.read_bytes())
    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    path.write_bytes(content)
    return path


def cut(path, chance, others):
    path.write_bytes(path.read_bytes()[: chance.randrange(path.stat().st_size)])
    return path


def replace(path, chance, others):
    path.write_text("<html>404</html>" * chance.randrange(1, 500))
    return path


FAULTS = {"lost": lose, "added": add, "swapped": swap, "bit flipped": flip, "cut": cut, "foreign": replace}


def test_no_other_file_is_used(whole, stages, unfinish, tally, tmp_path):
    chance, number = random.Random(SEED), 0
    while number < FILES:
        script = chance.choice([*READERS])
        fault, unfinished = chance.choice([*FAULTS]), chance.random() < 0.4
        runs = script if unfinished else chance.choice(READERS[script])
        folder = tmp_path / str(number)
        stages.before(runs, whole.folder, folder)
        if unfinished:
            shutil.copytree(whole.folder, folder, dirs_exist_ok=True)
        stage = chance.choice(stages.folders(script, folder))
        if unfinished:
            unfinish(stage)
        others = [path for each in stages.folders(script, folder) for path in written(each)]
        path = FAULTS[fault](chance.choice(written(stage)), chance, others)
        if path is None:
            shutil.rmtree(folder)
            continue
        number += 1
        case = (number, script, runs, fault, unfinished, path.name)
        result = stages.here(runs, folder)
        if result.code:
            stages.refused(result.code, result.err, path.name)
            assert case and not list(folder.rglob(".writing-*")), case
        else:
            assert stages.files(runs, folder) == whole.files[runs], case
            assert not unfinished and fault not in ("lost", "added"), case
        what = "refused by name" if result.code else "not read"
        tally[f"{fault}, {'unfinished' if unfinished else 'finished'}: {what}"] += 1
        shutil.rmtree(folder)
