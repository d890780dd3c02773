"""What mining chose, as a table and a figure: how many samples, which epochs, how much surer these were."""

import dataclasses

import matplotlib.ticker
import numpy

from adv import checks
from reporting import figures, tables

FEWEST = 128  # samples of one batch of the published tuning
LEAST = 0.05  # share of the images mined


def few(selected, of):
    """The check `few-mined` (docs/checks.md) of a mined set, as adv.checks.Check.

    selected: samples that an older epoch was more confident of; of: samples mined. Ten steps on fewer samples than a
    batch holds see the same ones every time, and a twentieth of the images need not stand for all.
    """
    passed = selected >= FEWEST and selected >= LEAST * of
    expected = f"at least {FEWEST}, one batch of the published tuning, and {100 * LEAST:.0f} % of all"
    return checks.Check("few-mined", passed, f"{selected} of {of} samples selected", expected)


def checks_of(stages):
    """The check of a row that was made from a mined set, as a list of one dictionary, else an empty one.

    stages: name -> run.json of all that the row was made from (pipeline.lineage.above).
    """
    mined = stages.get("get_ats")
    return [dataclasses.asdict(few(mined["selected"], mined["of"]))] if mined else []


def summary(targets, of):
    """A table of what mining took: how many of the samples, which epochs, how much confidence they gained.

    targets: dare.targets.Targets; of: number of samples that were mined. Raises ValueError unless 1 .. `of` samples
    were selected.
    """
    selected, gains = len(targets.index), numpy.asarray(targets.gain, "float64")
    if not 0 < selected <= of:
        raise ValueError(f"{selected} samples selected of {of} that were mined; expected at least 1 and at most all")
    epochs, counts = numpy.unique(targets.epoch, return_counts=True)
    rows = [
        ("samples mined", of, 0),
        ("selected, surer under an older epoch", selected, 0),
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
    note = "Confidence gained: p_t(y|x) - p_M(y|x) of the chosen epoch t over the final model M."
    return tables.Table("summary", f"Mined activations at {targets.layer}", ("quantity", "value"), rows, (note,))


def chosen_epochs(epochs, counts, gains):
    """How many samples took their activation from which epoch, and how much confidence they gained by it.

    epochs, counts: (T,); gains: (N,) p_t(y|x) - p_M(y|x), on a logarithmic axis; smaller ones than 1e-8 are put there.
    """
    gains = numpy.asarray(gains, "float64")
    if not len(gains):
        raise ValueError("no sample to draw: no epoch was chosen")
    figure, axes = figures.panels(1, 2, (8, 3.4), width_ratios=(3, 2))
    taken, gained = axes[0]
    taken.bar(epochs, counts, width=0.9, color=figures.BLUE)
    taken.set_xlabel("epoch t whose activation is the target")
    taken.set_ylabel("samples")
    taken.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(integer=True))
    taken.grid(axis="y", alpha=0.3)
    gained.hist(gains.clip(1e-8, 1), bins=numpy.logspace(-8, 0, 33), color=figures.GREEN)
    gained.set_xscale("log")
    median = float(numpy.median(gains))
    gained.axvline(max(median, 1e-8), color="black", linestyle="--", linewidth=1)
    gained.set_title(f"median {median:.2g}", fontsize=9)
    gained.set_xlabel("confidence gained, p_t(y|x) - p_M(y|x)")
    gained.set_ylabel("samples")
    gained.grid(axis="y", alpha=0.3)
    figure.suptitle(f"Mined epochs (n = {int(numpy.sum(counts))} samples surer under an older epoch)", fontsize=10)
    return figure
