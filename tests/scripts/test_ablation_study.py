"""The study of DARE's choices on a small cell: its units, its rows, and what it refuses."""

import shutil

import pytest

from dare import ablation
from reporting import row

pytestmark = pytest.mark.slow

OPTIONS = ("--attack", "fgsm", "--repeats", "2", "--factor", "combine", "--quiet")


@pytest.fixture
def cell(study, tmp_path):
    """The stages that it reads, in tmp_path."""
    copied = tmp_path / study.cell.relative_to(study.folder)
    for stage in ("train", "slice", "get_ats", "generate_adv-fgsm"):
        shutil.copytree(study.cell / stage, copied / stage)
    return copied


def test_a_row_a_setting_and_units_that_are_kept(cell, call, unfinish):
    completed = call("ablation/1_vary", *OPTIONS)
    assert completed.code == 0 and "4 settings x 2 repeats" in completed.out
    rows = {path.name: row.load(path) for path in (cell / "vary").glob("row-*.json")}
    assert set(rows) == {
        f"row-{name}.json" for name in ("published", "combine=None", "combine=union", "combine=majority")
    }
    published = rows["row-published.json"]
    assert published["hyperparameters"]["learning_rate"] == 1e-4 and published["repeats"] == 2
    assert set(published["measures"]) == {"clean", "er/fgsm", "noise-clean", "noise-er/fgsm"}
    assert all(change > 0 for change in published["change"])
    units = {path.name: path.read_bytes() for path in (cell / "vary").glob("unit-*.json")}
    assert len(units) == 8
    unfinish(cell / "vary", "unit-published-None-1.json")
    assert call("ablation/1_vary", *OPTIONS).code == 0
    assert {path.name: path.read_bytes() for path in (cell / "vary").glob("unit-*.json")} == units
    assert set(published["wall_s"]) == {"train", "slice", "get_ats", "generate_adv-fgsm", "vary"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(ablation.LEVELS, "combine", (None, "union"))
        completed = call("ablation/1_vary", *OPTIONS)
        assert (
            completed.code == 2
            and "another levels: combine [None, 'union', 'majority', 'intersection']" in completed.err
        )
    completed = call("8_tables", "--runs", "runs", "--quiet")
    assert completed.code == 0 and "one choice of DARE changed at a time" in completed.out


def test_bad_input_is_named(cell, call):
    assert "did you mean steps?" in call("ablation/1_vary", "--factor", "step").err
    shutil.rmtree(cell / "slice")
    completed = call("ablation/1_vary", *OPTIONS)
    assert completed.code == 2 and "2_slice.py" in completed.err
