"""Repeat a run of robust training on other images or with another strategy."""

import argparse
import pathlib

from data.split import Split
from pipeline import resolved, run_directory
from pipeline.progress import Progress
from studies.robust_training import trained_models
from train import history as histories
from train import robust, seeds


def retrain(
    arguments: argparse.Namespace, method: str, folder: pathlib.Path, split: Split, *, changed: robust.Method, note: str
) -> tuple:
    """(model, facts) of a training on `split` with the settings of train-<method>; the weights of the selected epoch.

    folder: of the history, which is resumed if it exists
    changed: the robust.Method to train
    note: text of the progress line
    Raises ValueError if the method was edited in the catalogue since its run.
    """
    path = run_directory.folder(arguments, f"robust_training/train-{method}")
    record = run_directory.record(path)
    probe = robust.Probe(images=record["arguments"]["probe_images"])
    current = resolved.resolved({"method": robust.METHODS[method], "probe": probe})
    edited = "uses" in record and resolved.difference({name: record["uses"].get(name) for name in current}, current)
    if edited:
        raise ValueError(f"{path} was trained with another {edited}: train it again with --overwrite, or undo the edit")
    settings, setup = record["arguments"], setup_of(record)
    seeds.seed_weights(arguments.seed)
    model = trained_models.robust_model(arguments, split, setup.standardised, settings["precision"])
    with Progress(note, arguments.quiet) as progress:
        history = robust.fit(
            model,
            split,
            method=changed,
            setup=setup,
            history=histories.History(folder / "history"),
            seed=arguments.seed,
            epochs=None if settings["bp_epochs"] else settings["epochs"],
            budget=settings["bp_epochs"],
            probe=probe,
            progress=progress,
        )
    best, last = robust.selected(history, changed.select), history.record(history.last)[2]
    history.load_weights(model, best)
    return model, {"selected_epoch": best, "last_epoch": history.last, "bp_epochs": round(last["bp_epochs"], 2)}


def setup_of(record: dict) -> robust.Setup:
    """The Setup in the run.json of a training."""
    settings = {name: tuple(value) if isinstance(value, list) else value for name, value in record["setup"].items()}
    return robust.Setup(**settings)
