"""The measures of a method's row, from the flags of its repeats and the published numbers."""

from __future__ import annotations  # its types load no library (pipeline/late.py)

from collections.abc import Mapping, Sequence

import keras
import numpy

from adv import scoring
from dare.flags import Flags
from dare.repair import metrics
from data.split import Split
from reporting import measures as of_measures
from reporting import published


def measures(
    flags_of_repeats: Sequence[Flags],
    *,
    dataset: str,
    model: str,
    method: str,
    before: numpy.ndarray,
    failed: int | None,
) -> dict:
    """name -> measure (reporting/measures.py) of every measure of the flags, and of "changed", "rr", "nfr" and "br".

    changed: clean test images whose predicted class is not the original's. rr, nfr, br: repair rate, negative flip rate
    and break rate (dare/repair/metrics.py) of clean test images; there is no rr where the original misclassifies none,
    and no br where it misclassifies all.

    flags_of_repeats: list of dare.flags.Flags.
    dataset, model, method: of the row.
    before: classes that the original predicts for x_test, (N,).
    failed: images of er/worst on which an attack failed; None if er/worst is no measure.
    """
    correct = [flags.correct for flags in flags_of_repeats]
    shares = {
        name: of_measures.share([repeat[name] for repeat in correct], published.dare(dataset, model, method, name))
        for name in correct[0]
    }
    shares["changed"] = of_measures.share([flags.prediction["clean"] != before for flags in flags_of_repeats])
    was_correct = before == flags_of_repeats[0].label["clean"]
    rates = [metrics.rates(was_correct, repeat["clean"]) for repeat in correct]
    shares |= {name: of_measures.share([repeat[name][1] for repeat in rates]) for name in rates[0]}
    if failed is not None and "er/worst" in shares:
        shares["er/worst"]["failed"] = failed
    return shares | {
        name: of_measures.median([flags.distance[name] for flags in flags_of_repeats])
        for name in flags_of_repeats[0].distance
    }


def passes(record: Mapping, selected: int) -> int | None:
    """Images that go forward and backward through the net in one repeat of a tuning; None where that is not recorded.

    record: run.json of finetune_dare-<variant> or finetune_adv-<attack>.
    selected: number of mined samples.
    """
    if "images" in record:  # adversarials, all in each epoch
        return record["images"] * record["arguments"]["epochs"]
    if record.get("steps"):
        return record["steps"] * record["batch_size"]
    return record["epochs"] * selected if record.get("epochs") and "batch_size" in record else None


def transferred(model: keras.Model, split: Split, sets: dict, drawn: dict) -> dict:
    """What a model predicts for clean images and adversarial sets, without any attack: as adv.scoring.score.

    drawn: as of adv.scoring.score.
    """
    none = numpy.zeros(0, int)
    return scoring.score(model, split, sets, white_box={}, epsilons=(), minimal={}, rows=none, drawn=drawn)
