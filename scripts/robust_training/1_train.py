"""Train a model robustly by one method after the other, with a held-out part that guards and selects.

Writes <runs>/robust_training/<dataset>-<model>/seed<k>/train-<method>/: split.h5, history/ (every epoch's record; the
weights of the selected and the last epoch), metrics.csv and seconds.json; with --list-files also split.csv, which image
is in which part. Killed, it continues at its last epoch.
"""

from __future__ import annotations  # its types load no library (pipeline/late.py)

try:
    from pipeline import command, run_directory
    from pipeline.progress import Progress
except ModuleNotFoundError as error:  # another Python than that of the environment
    raise SystemExit(f"no module {error.name}: run it with .venv/bin/python (make quick makes it)") from None

import argparse
from collections.abc import Callable, Mapping
import dataclasses
import pathlib
import shutil
import time

from adv import checks, evaluate
import data
from data import files
from reporting import marks
from studies.dare import trained_cell
from studies.estimate import Cost
from studies.robust_training import trained_models
from train import robust, seeds
from train.history import History

GREY_EPSILON = 0.1  # [D]; of colour images the set-up's


def main(arguments: argparse.Namespace) -> None:
    arguments = command.narrow(arguments, validation=validation_of(arguments))
    for name in arguments.method:
        train(command.narrow(arguments, method=name), name)


def train(arguments: argparse.Namespace, name: str) -> None:
    """One stage: train a method, resuming where it stopped."""
    inputs = [f"train-{teacher}" for teacher in method_of(arguments, name).teachers]
    stage = run_directory.begin(f"train-{name}", arguments, inputs, uses(arguments, name))
    if stage is None:
        return
    seeds.seed_weights(arguments.seed)
    dataset = trained_models.reduced_dataset(arguments)
    split = data.holdout_split(dataset, arguments.seed, validation=arguments.validation)
    method, setup = method_of(arguments, name), tailored(arguments, split.x_train.shape[-1])
    model = trained_models.robust_model(arguments, split, setup.standardised, arguments.precision)
    epochs = arguments.epochs or int(arguments.bp_epochs or method.epochs(setup))
    checkpoints = 3 if arguments.keep == "selected" else epochs
    if isinstance(method.average, robust.Median):  # the newest state, and the one that replaces it
        checkpoints += 2 * method.average.held(epochs)
    needed, free = 4 * model.count_params() * (checkpoints + 2), shutil.disk_usage(stage.folder).free
    if needed > free:
        raise OSError(f"{stage.folder}: the checkpoints need {needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are free")
    split.save(stage.folder / "split.h5")
    if arguments.list_files:
        names = ("part", "file", "label", "class")
        lines = (dict(zip(names, entry, strict=True)) for entry in split.listing())
        files.write_csv(stage.folder / "split.csv", names, lines)
    clock = Clock(stage.folder / "seconds.json")

    recorded = {}

    def record(history):
        clock.note(history.last)
        write_metrics(history, clock, stage.folder / "metrics.csv", recorded)

    with Progress(f"train {name}", arguments.quiet) as progress:
        history = robust.fit(
            model,
            split,
            method=method,
            setup=setup,
            history=stage.folder / "history",
            seed=arguments.seed,
            epochs=None if arguments.bp_epochs else arguments.epochs,
            budget=arguments.bp_epochs,
            keep=arguments.keep,
            probe=probe_of(arguments),
            teachers=trained_models.teachers(arguments, split, method),
            progress=clock.listen(progress),
            on_epoch=record,
        )
    write_metrics(history, clock, stage.folder / "metrics.csv", recorded)
    best, metrics = robust.selected(history, method.select), history.record(history.last)[2]
    run_directory.finish(
        stage,
        parameters=model.count_params(),
        verified=split.verified,
        images=len(split.x_train),
        setup=dataclasses.asdict(setup),
        selected=best,
        last=history.last,
        bp_epochs=metrics["bp_epochs"],
        stopped=metrics["stopped"],
        training_s=round(clock.total("seconds"), 1),
        probe_s=round(clock.total("probe_seconds"), 1),
        metrics=metrics,
    )
    length = "1 epoch" if history.last == 1 else f"{history.last} epochs"
    stopped = ", stopped: held-out robust accuracy fell" if metrics["stopped"] else ""
    print(
        f"train {name}: {length}, {metrics['bp_epochs']:.1f} BP-epochs, {clock.total('seconds'):.0f} s; "
        f"held out {held_out(history.record(best)[2])} in epoch {best}, {held_out(metrics)} in the last{stopped} "
        f"({stage.folder})"
    )
    history.load_weights(model, best)
    predicted = evaluate.classes(model, split.x_validation, split.y_validation)
    marks.warn(f"train {name}", checks.answers(predicted, split.y_validation, len(split.classes)))


def held_out(metrics: Mapping) -> str:
    """Accuracy and loss on the held-out images, without an attack and under PGD."""
    return ", ".join(
        f"{title} {100 * metrics[f'probe_{name}']:.1f} % (loss {metrics[f'probe_{name}_loss']:.2f})"
        for title, name in (("clean", "clean"), ("under PGD", "robust"))
    )


def uses(arguments: argparse.Namespace, name: str) -> dict:
    """The method, the probe, and the set-up; of a folder of images, which may be grey, the set-up of either."""
    shape = trained_cell.shape_of(arguments)
    channels = {"set-up": shape[-1]} if shape else {"set-up": 3, "set-up of grey images": 1}
    setups = {name: tailored(arguments, count) for name, count in channels.items()}
    return {"method": method_of(arguments, name), "probe": probe_of(arguments), **setups}


def method_of(arguments: argparse.Namespace, name: str) -> robust.Method:
    """The method of the catalogue; with --steps, of so many attack steps."""
    method = robust.METHODS[name]
    return method.of_steps(arguments.steps) if arguments.steps and name != "standard" else method


def probe_of(arguments: argparse.Namespace) -> robust.Probe:
    """The probe with the number of images of the command line."""
    return robust.Probe(images=arguments.probe_images)


def tailored(arguments: argparse.Namespace, channels: int) -> robust.Setup:
    """The set-up with what the command line and the images, of so many channels, change of it."""
    setup = robust.setup_of(arguments.setup, arguments.model)
    epsilon = arguments.epsilon or (GREY_EPSILON if channels == 1 else setup.epsilon)
    changes = {"epsilon": epsilon}
    if arguments.no_augmentation:
        changes |= {"flip": False, "crop": 0.0}
    for name in ("learning_rate", "batch_size", "weight_decay"):
        if getattr(arguments, name) is not None:
            changes[name] = getattr(arguments, name)
    return dataclasses.replace(setup, **changes)


class Clock:
    """Seconds of each epoch, and its probe's part of them: what follows its last batch. Kept in a file of their own,
    since they differ where everything else is the same."""

    def __init__(self, path):
        self.path = path
        self.started_at = self.last_batch_at = time.monotonic()
        self.epochs = files.read_sealed(path)["epochs"] if path.is_file() else {}

    def listen(self, progress: Callable) -> Callable:
        """The progress of each batch, which is passed on."""

        def on_batch(*progressed):
            self.last_batch_at = time.monotonic()
            progress(*progressed)

        return on_batch

    def note(self, epoch: int) -> None:
        """An epoch has ended: keep its seconds."""
        now = time.monotonic()
        self.epochs[str(epoch)] = {
            "seconds": round(now - self.started_at, 2),
            "probe_seconds": round(now - self.last_batch_at, 2),
        }
        self.started_at = now
        files.write_sealed(self.path, {"epochs": self.epochs})

    def of(self, epoch: int) -> dict:
        """The seconds of an epoch; None where they were not measured."""
        return self.epochs.get(str(epoch), {"seconds": None, "probe_seconds": None})

    def total(self, what: str) -> float:
        """The sum over epochs. what: "seconds" or "probe_seconds"."""
        return sum(epoch[what] for epoch in self.epochs.values())


def write_metrics(history: History, clock: Clock, path: pathlib.Path, recorded: dict[int, dict]) -> None:
    """One CSV line an epoch, rewritten whole. recorded: the metrics of the epochs read so far, which grows."""
    for epoch in history.epochs:
        if epoch not in recorded:
            recorded[epoch] = history.record(epoch)[2]
    rows = [
        {name: value for name, value in metrics.items() if name != "controller"} | clock.of(epoch)
        for epoch, metrics in recorded.items()
    ]
    first = ["epoch", "steps", "bp_epochs", "seconds", "probe_seconds"]
    files.write_csv(path, [*first, *(name for name in sorted(rows[0]) if name not in first)], rows)


def stages(arguments: argparse.Namespace) -> list[str]:
    """The stages that these arguments ask for."""
    return [f"train-{name}" for name in arguments.method]


def cost(arguments: argparse.Namespace) -> Cost:
    """The Cost of these arguments: of each method the selected and the last epoch, and its momentum."""
    return Cost(sum(passes(arguments, name) for name in arguments.method), 3 * len(arguments.method))


def validation_of(arguments: argparse.Namespace) -> int:
    """How many training images are held out."""
    entry = data.DATASETS.get(arguments.dataset)
    return arguments.validation or (min(1000, entry.counts[0] // 4) if entry else 1000)


def passes(arguments: argparse.Namespace, name: str) -> float:
    """BP-epochs times images of one method."""
    count = arguments.bp_epochs
    if count is None:
        setup = robust.setup_of(arguments.setup, arguments.model)
        method = method_of(arguments, name)
        count = (arguments.epochs or method.epochs(setup)) * method.passes
    return round(count * (arguments.images or data.DATASETS[arguments.dataset].counts[0] - validation_of(arguments)))


def options() -> command.Parser:
    """The script's argument parser."""
    parser = command.parser(
        __doc__,
        study="robust_training",
        example="--dataset fashion_mnist --model small_cnn --method pgd-7",
    )
    parser.set_defaults(model="preact_resnet18")
    known = command.name("method", robust.METHODS)
    parser.add_argument("--method", nargs="+", type=known, default=["m+deat"], help="one after the other")
    parser.add_argument("--setup", choices=list(robust.SETUPS), default="standard", help="the published recipe")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--epochs", type=command.whole(1), help="instead of the set-up's")
    length.add_argument(
        "--bp-epochs",
        type=command.real(above=0),
        help="end after so many forward and backward passes over the images, whatever the method",
    )
    parser.add_argument("--steps", type=command.whole(1), help="attack steps instead of the method's, to spend less")
    above, share = command.real(above=0), command.real(above=0, most=1)
    parser.add_argument("--epsilon", type=share, help="Linf radius (default: the set-up's; 0.1 for grey images)")
    parser.add_argument("--learning-rate", type=above, help="instead of the set-up's")
    parser.add_argument("--weight-decay", type=command.real(least=0), help="instead of the set-up's")
    parser.add_argument("--batch-size", type=command.whole(1), help="instead of the set-up's")
    parser.add_argument("--no-augmentation", action="store_true", help="neither crop nor mirror (sensible for digits)")
    parser.add_argument("--images", type=command.whole(2), help="train on so many images (default: all)")
    parser.add_argument(
        "--validation",
        type=command.whole(1),
        help="images beside those, held out to guard and select (default: 1000, or a quarter of a small data set)",
    )
    parser.add_argument("--list-files", action="store_true", help="also write the split as file and class names")
    parser.add_argument("--probe-images", type=command.whole(1), default=512, help="of them attacked after each epoch")
    parser.add_argument("--keep", choices=["all", "selected"], default="selected", help="which epochs' weights to keep")
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="float32", help="bfloat16 for GPUs")
    return parser


if __name__ == "__main__":
    command.run(main, options())
