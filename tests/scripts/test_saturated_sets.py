"""The saturated images of each adversarial set, as the stage counts them and rows keep them."""

import argparse
import json

import numpy

import data
from adv import adversarial_set
from reporting import row as result_row
from studies.dare import trained_cell


def test_the_saturated_images_of_each_adversarial_set_are_counted(study):
    """By a softmax in float64 of the source model's logits on all images that were drawn."""
    where = {"study": "dare", "dataset": "digits", "model": study.cell.parent.name.partition("-")[2], "seed": 0}
    where |= {"runs": study.folder / "runs", "data_dir": None, "unverified": False, "quiet": True}
    trained = trained_cell.load(argparse.Namespace(**where))
    drawn = adversarial_set.draw(trained.split, dict(zip(adversarial_set.PARTS, (12, 8, 12, 8), strict=True)), 0)
    count = 0
    for part, rows in drawn.items():
        split, place = trained.split, "test" if part == "heldout" else "train"
        x, y = (getattr(split, f"{array}_{place}")[rows] for array in "xy")
        logits = numpy.asarray(trained.model(data.to_unit(x)), float)
        others = numpy.arange(logits.shape[1]) != y[:, None]
        gaps = logits - logits[numpy.arange(len(y)), y][:, None]
        count += int((numpy.exp(gaps).sum(axis=1, where=others) <= 2.0**-25).sum())
    expected = {"images": count, "of": 40, "percent": round(100 * count / 40, 2)}
    for name in ("fgsm", "pgd"):
        record = json.loads((study.cell / f"generate_adv-{name}" / "run.json").read_text())
        assert record["saturated"] == expected
        line = f"generate_adv {name}: float32 softmax of 1 at the label on {count} of 40 attacked images"
        assert line in study.completed["4_generate_adv"].out
    row = result_row.load(study.cell / "test-original" / "row.json")
    assert row["saturated"] == {"fgsm": expected, "pgd": expected}
