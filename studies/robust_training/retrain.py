"""Train a method of robust training once more as its run did, but on other images or with another strategy."""

from pipeline import resolved, run_directory
from pipeline.progress import Progress
from studies.robust_training import trained_models
from train import history as histories
from train import robust, seeds


def retrain(arguments, method, folder, split, *, changed, note):
    """The selected epoch of `changed`, a robust.Method, trained on `split` with the settings of train-<method>.

    folder: where its history goes, which is continued where it ends; note: what the progress says. Returns
    (model, facts of the training). Raises ValueError where the method has been edited in the catalogue since that run.
    """
    path = run_directory.folder(arguments, f"robust_training/train-{method}")
    made = run_directory.record(path)
    probe = robust.Probe(images=made["arguments"]["probe_images"])
    now = resolved.resolved({"method": robust.METHODS[method], "probe": probe})
    edited = "uses" in made and resolved.difference({name: made["uses"].get(name) for name in now}, now)
    if edited:
        raise ValueError(f"{path} was trained with another {edited}: train it again with --overwrite, or undo the edit")
    asked, setup = made["arguments"], setup_of(made)
    seeds.seed_weights(arguments.seed)
    model = trained_models.robust_model(arguments, split, setup.standardised, asked["precision"])
    with Progress(note, arguments.quiet) as progress:
        history = robust.fit(
            model,
            split,
            method=changed,
            setup=setup,
            history=histories.History(folder / "history"),
            seed=arguments.seed,
            epochs=None if asked["bp_epochs"] else asked["epochs"],
            budget=asked["bp_epochs"],
            probe=probe,
            progress=progress,
        )
    best, last = robust.selected(history, changed.select), history.record(history.last)[2]
    history.load_weights(model, best)
    return model, {"selected_epoch": best, "last_epoch": history.last, "bp_epochs": round(last["bp_epochs"], 2)}


def setup_of(made):
    """The Setup in the run.json of a training."""
    settings = {name: tuple(value) if isinstance(value, list) else value for name, value in made["setup"].items()}
    return robust.Setup(**settings)
