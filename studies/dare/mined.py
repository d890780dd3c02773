"""The mined samples as a table and a figure: their number, their epochs, and the confidence gained."""

from __future__ import annotations

import dataclasses

import matplotlib.figure
import matplotlib.ticker
import numpy

from adv import checks
from dare.targets import Targets
from reporting import figures, tables

FEWEST = 128  # samples of one batch of the published tuning
LEAST = 0.05  # smallest fraction of the mined images that has to be selected


def few(selected: int, of: int) -> checks.Check:
    """The check `few-mined` (docs/checks.md) of a mined set.

    With less than one batch of samples every step sees the same images, and a twentieth of the images may not
    represent all.

    selected: number of samples with an older epoch that is more confident
    of: number of samples mined
    """
    passed = selected >= FEWEST and selected >= LEAST * of
    expected = f"at least {FEWEST}, one batch of the published tuning, and {100 * LEAST:.0f} % of all"
    return checks.Check("few-mined", passed, f"{selected} of {of} samples selected", expected)


def checks_of(stages: dict) -> list[dict]:
    """The check of the mined set that a row was made from, in a list; [] without a mined set.

    stages: name -> run.json of all stages that the row depends on (pipeline.lineage.above)
    """
    mined = stages.get("get_ats")
    return [dataclasses.asdict(few(mined["selected"], mined["of"]))] if mined else []


def summary(targets: Targets, of: int) -> tables.Table:
    """A table of the mined samples: their number, their epochs, and the confidence gained.

    targets: dare.targets.Targets
    of: number of samples mined
    Raises ValueError unless 1 to `of` samples were selected.
    """
    selected, gains = len(targets.index), numpy.asarray(targets.gain, "float64")
    if not 0 < selected <= of:
        raise ValueError(f"{selected} samples selected of {of} that were mined; expected at least 1 and at most all")
    epochs, counts = numpy.unique(targets.epoch, return_counts=True)
    rows = [
        ("samples mined", of, 0),
        ("selected: an older epoch is more confident", selected, 0),
        ("selected (%)", 100 * selected / of, 1),
        ("epochs chosen", len(epochs), 0),
        ("earliest", epochs[0], 0),
        ("latest", epochs[-1], 0),
        ("most often", epochs[counts.argmax()], 0),
        ("most often, of the selected (%)", 100 * counts.max() / selected, 1),
        ("confidence gained, mean", gains.mean(), 4),
        ("confidence gained, median", numpy.median(gains), 4),
        ("confidence gained, largest", gains.max(), 4),
        ("gained more than 0.01, of the selected (%)", 100 * (gains > 0.01).mean(), 1),
    ]
    rows = tuple((name, tables.Cell(float(value), digits=digits)) for name, value, digits in rows)
    note = "Confidence gained: p_t(y|x) - p_M(y|x), of the chosen epoch t and the final model M."
    return tables.Table("summary", f"Mined activations at {targets.layer}", ("quantity", "value"), rows, (note,))


def chosen_epochs(epochs: numpy.ndarray, counts: numpy.ndarray, gains: numpy.ndarray) -> matplotlib.figure.Figure:
    """The number of samples for each chosen epoch, and a histogram of the confidence gained.

    epochs, counts: (T,)
    gains: (N,) p_t(y|x) - p_M(y|x), drawn on a logarithmic axis that starts at 1e-8
    Raises ValueError without samples.
    """
    gains = numpy.asarray(gains, "float64")
    if not len(gains):
        raise ValueError("no sample to draw: no epoch was chosen")
    figure, axes = figures.panels(1, 2, (8, 3.4), width_ratios=(3, 2))
    epoch_axis, gain_axis = axes[0]
    epoch_axis.bar(epochs, counts, width=0.9, color=figures.BLUE)
    epoch_axis.set_xlabel("epoch t whose activation is the target")
    epoch_axis.set_ylabel("samples")
    epoch_axis.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(integer=True))
    epoch_axis.grid(axis="y", alpha=0.3)
    gain_axis.hist(gains.clip(1e-8, 1), bins=numpy.logspace(-8, 0, 33), color=figures.GREEN)
    gain_axis.set_xscale("log")
    median = float(numpy.median(gains))
    gain_axis.axvline(max(median, 1e-8), color="black", linestyle="--", linewidth=1)
    gain_axis.set_title(f"median {median:.2g}", fontsize=9)
    gain_axis.set_xlabel("confidence gained, p_t(y|x) - p_M(y|x)")
    gain_axis.set_ylabel("samples")
    gain_axis.grid(axis="y", alpha=0.3)
    figure.suptitle(
        f"Mined epochs (n = {int(numpy.sum(counts))} samples with a more confident older epoch)", fontsize=10
    )
    return figure
