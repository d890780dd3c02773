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
from collections.abc import Mapping
import dataclasses
import pathlib
import shutil

from adv import checks, evaluate
import data
from data import files
from reporting import marks
from studies.dare import trained_cell
from studies.estimate import Cost
from studies.robust_training import rates, trained_models
from studies.robust_training.clock import Clock, write_metrics
from train import robust, seeds

GREY_EPSILON = 0.1  # [D]; of colour images the set-up's


def main(arguments: argparse.Namespace) -> None:
    share = arguments.rate_share if arguments.learning_rates else None
    arguments = command.narrow(arguments, validation=validation_of(arguments), rate_share=share)
    for name in arguments.method:
        train(command.narrow(arguments, method=name), name)


def train(arguments: argparse.Namespace, name: str) -> None:
    """One stage: train a method, resuming where it stopped."""
    inputs = [f"train-{teacher}" for teacher in method_of(arguments, name).teachers]
    stage = run_directory.begin(f"train-{name}", arguments, inputs, uses(arguments, name))
    if stage is None:
        return
    dataset = trained_models.reduced_dataset(arguments)
    split = data.holdout_split(dataset, arguments.seed, validation=arguments.validation)
    method, setup = method_of(arguments, name), tailored(arguments, split.x_train.shape[-1])
    epochs = arguments.epochs or int(arguments.bp_epochs or method.epochs(setup))
    teachers = trained_models.teachers(arguments, split, method)

    def fit(setup, path, note, share=1.0, listen=lambda progress: progress, **listeners):
        """(model, history) of a run of a share of the whole length."""
        length = {"epochs": arguments.epochs, "budget": arguments.bp_epochs}
        if share < 1:
            length = {"epochs": max(1, round(share * epochs))}
            if arguments.bp_epochs:
                length = {"budget": share * arguments.bp_epochs}
        seeds.seed_weights(arguments.seed)
        model = trained_models.robust_model(arguments, split, setup.standardised, arguments.precision)
        check_disk(arguments, method, epochs, model.count_params(), stage.folder)
        settings = {"seed": arguments.seed, "keep": arguments.keep, "probe": probe_of(arguments), "teachers": teachers}
        with Progress(note, arguments.quiet) as progress:
            watch = {"progress": listen(progress), **listeners}
            history = robust.fit(model, split, method=method, setup=setup, history=path, **length, **settings, **watch)
        return model, history

    split.save(stage.folder / "split.h5")
    if arguments.list_files:
        names = ("part", "file", "label", "class")
        lines = (dict(zip(names, entry, strict=True)) for entry in split.listing())
        files.write_csv(stage.folder / "split.csv", names, lines)

    # 1. The learning rate.
    choice = {}
    if arguments.learning_rates:

        def run(rate, path):
            at_rate = dataclasses.replace(setup, learning_rate=rate)
            return fit(at_rate, path, f"train {name} at rate {rate:g}", arguments.rate_share)[1]

        rate, reached, spent = rates.choose(arguments.learning_rates, run, stage.folder, method.select)
        setup = dataclasses.replace(setup, learning_rate=rate)
        choice = {"learning_rates": reached, "choice_bp_epochs": spent}
        print(f"train {name}: learning rate {rate:g} of {reached}")

    # 2. The training.
    clock, recorded = Clock(stage.folder / "seconds.json"), {}

    def record(history):
        clock.note(history.last)
        write_metrics(history, clock, stage.folder / "metrics.csv", recorded)

    history_path, listeners = stage.folder / "history", {"listen": clock.listen, "on_epoch": record}
    model, history = fit(setup, history_path, f"train {name}", **listeners)
    write_metrics(history, clock, stage.folder / "metrics.csv", recorded)
    best, metrics = robust.selected(history, method.select), history.record(history.last)[2]
    run_directory.finish(
        stage,
        parameters=model.count_params(),
        verified=split.verified,
        images=len(split.x_train),
        setup=dataclasses.asdict(setup),
        **choice,
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


def check_disk(
    arguments: argparse.Namespace, method: robust.Method, epochs: int, parameters: int, folder: pathlib.Path
) -> None:
    """Raise OSError where the checkpoints of a run of so many epochs do not fit on the disk."""
    checkpoints = 3 if arguments.keep == "selected" else epochs
    if isinstance(method.average, robust.Median):  # the newest state, and the one that replaces it
        checkpoints += 2 * method.average.held(epochs)
    needed, free = 4 * parameters * (checkpoints + 2), shutil.disk_usage(folder).free
    if needed > free:
        raise OSError(f"{folder}: the checkpoints need {needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are free")


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


def stages(arguments: argparse.Namespace) -> list[str]:
    """The stages that these arguments ask for."""
    return [f"train-{name}" for name in arguments.method]


def cost(arguments: argparse.Namespace) -> Cost:
    """The Cost of these arguments: of each method, and each rate tried, the best and the last epoch, and momentum."""
    nets = 3 * len(arguments.method) * (1 + len(arguments.learning_rates or []))
    return Cost(sum(passes(arguments, name) for name in arguments.method), nets)


def validation_of(arguments: argparse.Namespace) -> int:
    """How many training images are held out."""
    entry = data.DATASETS.get(arguments.dataset)
    return arguments.validation or (min(1000, entry.counts[0] // 4) if entry else 1000)


def passes(arguments: argparse.Namespace, name: str) -> float:
    """BP-epochs times images of one method, the choice of its learning rate included."""
    count = arguments.bp_epochs
    if count is None:
        setup = robust.setup_of(arguments.setup, arguments.model)
        method = method_of(arguments, name)
        count = (arguments.epochs or method.epochs(setup)) * method.passes
    count *= 1 + len(arguments.learning_rates or []) * arguments.rate_share
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
    rate = parser.add_mutually_exclusive_group()
    rate.add_argument("--learning-rate", type=above, help="instead of the set-up's")
    rate.add_argument(
        "--learning-rates", nargs="+", type=above, metavar="RATE", help="choose one on held-out images by short runs"
    )
    parser.add_argument(
        "--rate-share", type=share, default=rates.SHARE, help="length of these runs, as a share of the whole"
    )
    parser.needs(["--rate-share"], lambda arguments: arguments.learning_rates, "--learning-rates")
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
