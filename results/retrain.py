"""Train a method of robust training once more as its run did, but on other images or with another strategy."""

from results import command, run, trained
from train import history as histories
from train import robust, seeds


def retrain(arguments, method, folder, split, *, changed, note):
    """The selected epoch of `changed`, a robust.Method, trained on `split` with the settings of train-<method>.

    folder: where its history goes, which is continued where it ends; note: what the progress says. Returns
    (model, facts of the training).
    """
    made = run.record(run.folder(command.narrow(arguments, study="robust_training"), f"train-{method}"))
    asked, setup = made["arguments"], setup_of(made)
    seeds.seed_weights(arguments.seed)
    model = trained.robust_model(arguments, split, setup.standardised, asked["precision"])
    with command.Progress(note, arguments.quiet) as progress:
        history = robust.fit(
            model,
            split,
            method=changed,
            setup=setup,
            history=histories.History(folder / "history"),
            seed=arguments.seed,
            epochs=None if asked["bp_epochs"] else asked["epochs"],
            budget=asked["bp_epochs"],
            probe=robust.Probe(images=asked["probe_images"]),
            progress=progress,
        )
    best, last = robust.selected(history, changed.select), history.record(history.last)[2]
    history.load_weights(model, best)
    return model, {"selected_epoch": best, "last_epoch": history.last, "bp_epochs": round(last["bp_epochs"], 2)}


def setup_of(made):
    """The Setup in the run.json of a training."""
    settings = {name: tuple(value) if isinstance(value, list) else value for name, value in made["setup"].items()}
    return robust.Setup(**settings)
