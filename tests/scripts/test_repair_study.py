"""The study of repair as a user runs it: what it writes, how it is continued, what it refuses."""

import json
import pathlib
import re
import runpy
import shutil
import types

import pytest

from dare.flags import Flags
from dare.repair import catalogue
from reporting import row as result_row
from studies.repair import report

pytestmark = pytest.mark.slow

SCRIPT = "repair/1_repair"
FEW = ["--attack", "fgsm", "pgd", "--particles", "5", "--generations", "3", "--repeats", "2", "--most-failures", "20"]
FEW += ["--most-kept", "20", "--deterministic", "--quiet"]
SEARCHED = ("neurecover", "arachne-confusion", "apricot", "apricot-history")
METHODS = ("dare", *SEARCHED, "ensemble", "swa")
OPTIONS = ["--method", *METHODS, *FEW, "--attacked", "swa", "ensemble", "--images", "3", "--epsilon", "0.05"]


@pytest.fixture(scope="module")
def finished(study, shell, tmp_path_factory):
    """The study, run once on what DARE's stages of the small cell made: .folder, .cell, .out."""
    folder = tmp_path_factory.mktemp("repaired")
    cell = folder / study.cell.relative_to(study.folder)
    for stage in ("train", "slice", "get_ats", "generate_adv-fgsm", "generate_adv-pgd", "finetune_dare-dare"):
        shutil.copytree(study.cell / stage, cell / stage)
    completed = shell.here(SCRIPT, *OPTIONS, cwd=folder)
    assert completed.code == 0, completed.err
    return types.SimpleNamespace(folder=folder, cell=cell, out=completed.out)


def rows_of(cell):
    return {path.parent.name: result_row.load(path) for path in sorted(cell.glob("repair-*/row.json"))}


def test_what_it_writes(finished, unsaturated):
    assert unsaturated(finished.cell) == []
    rows = rows_of(finished.cell)
    assert set(rows) == {f"repair-{name}" for name in ("original", *METHODS)}
    assert {path.suffix for path in (finished.cell / "repair").iterdir()} == {".md", ".tex", ".csv"}
    for name, row in rows.items():
        assert row["study"] == "repair" and row["measures"]["er/fgsm"]["n"] > 0
        assert ("rr-seen" in row["measures"]) == (name.removeprefix("repair-") in SEARCHED)
        attacked = name in ("repair-swa", "repair-ensemble")
        assert ("white-box/autoattack@0.05" in row["measures"]) == attacked
        assert ({"gradient", "saturated"} <= {check["name"] for check in row["checks"]}) == attacked
        of_noise = {check["name"] for check in row["noise_checks"]}
        assert ({"gradient", "saturated"} <= of_noise) == (name == "repair-swa")
        assert len(row["forward"]) == row["repeats"] == len(row["p"])
        before, after = rows["repair-original"]["measures"], row["measures"]
        misclassified = 1 - before["clean"]["value"] / 100
        change = after["rr"]["value"] * misclassified - after["nfr"]["value"]
        assert after["clean"]["value"] - before["clean"]["value"] == pytest.approx(change, abs=0.05), "the identity"
    assert rows["repair-original"]["changed"] == [0] and rows["repair-original"]["measures"]["nfr"]["value"] == 0
    assert rows["repair-original"]["measures"]["er/fgsm"]["value"] == 0
    assert rows["repair-ensemble"]["changed"] == [None]
    searched = rows["repair-neurecover"]
    assert searched["repeats"] == 2 and searched["hyperparameters"]["particles"] == 5
    for changed, facts in zip(searched["changed"], searched["facts"], strict=True):
        assert changed <= facts["located"]
    of_one_kind = rows["repair-arachne-confusion"]
    assert {tuple(facts["confusion"]) for facts in of_one_kind["facts"]} and "rr-confusion" not in after
    reduced = finished.cell / "repair-apricot"
    assert {path.name for path in reduced.glob("reduced-*")} == {f"reduced-{place}" for place in range(5)}
    assert rows["repair-apricot"]["backward"] == [4 * 5 * 144] * 2, "epochs, models, a fifth of x_train"
    noise = Flags.load(finished.cell / "repair-swa" / "flags-0.h5")
    assert "noise-white-box/autoattack@0.05" in noise.label
    assert report.tables(list(rows.values())) and list(report.figures(list(rows.values())))
    assert not list(finished.cell.glob("repair-*/state-*")), "a finished search keeps no state"
    inputs = json.loads((finished.cell / "repair-dare" / "run.json").read_text())["inputs"]
    assert "finetune_dare-dare" in inputs


def test_the_second_run_skips_and_changes_nothing(cell_copy, shell, call):
    before = shell.digests(cell_copy)
    completed = call(SCRIPT, *OPTIONS)
    assert completed.code == 0 and completed.out.count("done before, skipped") == len(METHODS) + 1
    assert shell.digests(cell_copy) == before


def test_a_killed_search_continues_with_the_same_bits(finished, cell_copy, shell, call):
    options = ["--method", "neurecover", *FEW, "--attack-repeats", "0"]
    stage = cell_copy / "repair-neurecover"
    whole = {path.name: path.read_bytes() for path in stage.glob("weights-*")}
    shutil.rmtree(stage)
    shutil.rmtree(cell_copy / "repair-original")
    process = shell.start(SCRIPT, *options, cwd=cell_copy.parents[3])
    shell.kill_when(process, stage, "state-0.h5")
    assert not (stage / "run.json").exists()
    completed = call(SCRIPT, *options)
    assert completed.code == 0 and "goes on with what was begun" in completed.out, completed.err
    assert {path.name: path.read_bytes() for path in stage.glob("weights-*")} == whole


def test_adversarial_failures_have_lines_of_their_own(cell_copy, call):
    completed = call(SCRIPT, "--method", "neurecover", *FEW, "--failures", "adversarial", "--attacked", "swa")
    assert completed.code == 0, completed.err
    row = result_row.load(cell_copy / "repair-adv-neurecover" / "row.json")
    assert row["method"] == "adv-neurecover" and row["hyperparameters"]["repair_on"] == "fgsm"
    assert "adversarial failures" in row["title"]


def one_sentence(completed, *words):
    assert completed.code == 2, completed
    assert re.match(r"1_repair\.py: ", completed.err.strip().splitlines()[-1]) and "Traceback" not in completed.err
    for word in words:
        assert word in completed.err


def test_all_leaves_out_what_reads_checkpoints_that_are_deleted(cell_copy, monkeypatch):
    monkeypatch.chdir(cell_copy.parents[3])
    script = runpy.run_path(str(pathlib.Path(__file__).parents[2] / "scripts" / f"{SCRIPT}.py"))
    arguments = script["options"]().parse_args(["--model", cell_copy.parent.name.partition("-")[2], *FEW])
    assert {"median", "swa", "neurecover", "arachne"} <= {*script["chosen_methods"](arguments)}
    kept = sorted((cell_copy / "train" / "history").glob("*.weights.h5"))
    for path in kept[:-1]:
        path.unlink()
    assert {*script["chosen_methods"](arguments)} == {
        "original",
        "dare",
        "arachne",
        "arachne-gl",
        "arachne-confusion",
        "random-arachne",
    }


def test_bad_input_is_named(cell_copy, call, shell):
    before = shell.digests(cell_copy)
    one_sentence(call(SCRIPT, "--method", "neurecovery"), "did you mean neurecover?")
    one_sentence(call(SCRIPT, "--method", "swa", "--particles", "9"), "without effect here, it needs")
    one_sentence(
        call(SCRIPT, "--method", "arachne", "--confusion", "3", "5"), "needs --method all or arachne-confusion"
    )
    one_sentence(call(SCRIPT, "--confusion", "3", "3"), "--confusion 3 3: expected two classes")
    one_sentence(call(SCRIPT, "--confusion", "3", "5", "--failures", "adversarial"), "and --failures clean")
    one_sentence(call(SCRIPT, "--method", "swa", "--failures", "adversarial"), "read none of these")
    one_sentence(call(SCRIPT, "--failures", "adversarial", "--repair-on", "jsma"), "expected names of --attack")
    one_sentence(call(SCRIPT, *OPTIONS, "--images", "4"), "images 3, not 4", "--overwrite")
    shutil.rmtree(cell_copy / "finetune_dare-dare")
    one_sentence(call(SCRIPT, *OPTIONS, "--overwrite"), "5_finetune_dare.py")
    for name in ("repair-dare", "repair-original"):
        assert (cell_copy / name).is_dir()
    assert set(before) and set(catalogue.DRAWN) < set(catalogue.METHODS)
