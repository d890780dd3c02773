"""Attack a model with as many images of each class and write its row: shared by the study's attacking stages."""

from __future__ import annotations  # its types load no library (pipeline/late.py)

import argparse
from typing import Any

import keras
import numpy

from adv import attacks, checks, reachable
from data.split import Split
from models import head
from pipeline import command, run_directory
from pipeline.progress import Progress
from pipeline.run_directory import Stage
from reporting import row
from studies import tested
from studies.classwise import rows as class_rows
from train.seeds import stream

ATTACKS = ("fgsm", "pgd-20", "cw-linf-20", "t-pgd-1", "t-pgd-2", "t-pgd-5", "t-pgd-10", "t-pgd-50", "apgd-ce")
ATTACKS += ("apgd-t",)  # without it there is no worst case
LINF = [name for name, attack in attacks.ATTACKS.items() if attack.norm == "linf"]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the first attacking stage to a parser."""
    known = command.name("attack in Linf", LINF)
    parser.set_defaults(model="small_cnn")
    parser.add_argument("--attack", nargs="+", type=known, default=list(ATTACKS), help="each run on all images")
    parser.add_argument("--test-images", type=command.whole(2), default=1000, help="attacked, as many of each class")
    parser.add_argument("--epsilon", type=command.real(above=0, most=1), help="Linf radius (default: the model's own)")


def attacked(arguments: argparse.Namespace) -> tuple[row.Row, argparse.Namespace, list[str]]:
    """(row, arguments, input stages) of a stage that compares its model with the attacked --method.

    row: that of 1_attack.py; arguments: with the same attacks, images and epsilon
    Raises FileNotFoundError if --method has not been attacked.
    """
    attack = f"attack-{arguments.method}"
    folder = run_directory.folder(arguments, attack)
    settings = run_directory.record(folder)["arguments"]
    before = row.load(folder / "row.json")
    alike = {name: settings[name] for name in ("attack", "test_images")}
    alike = command.narrow(arguments, **alike, epsilon=before["hyperparameters"]["epsilon"])
    return before, alike, [attack, f"robust_training/train-{arguments.method}"]


def uses(arguments: argparse.Namespace, **entries: Any) -> dict:
    """The catalogue entries that a stage uses: its attacks, and further entries."""
    return {"attack": {name: attacks.ATTACKS[name] for name in arguments.attack}, **entries}


def score(
    arguments: argparse.Namespace,
    stage: Stage,
    model: keras.Model,
    split: Split,
    *,
    about: dict,
    details: dict,
    epsilon: float,
    reach_images: int = 0,
) -> row.Row:
    """Attack the model, save its flags and row.json, and finish the stage. Returns the row.

    about: the row's method, title, role and hyperparameters
    details: further details of the row
    epsilon: Linf radius in [0, 1] pixel scale
    reach_images: number of images that are attacked into every class
    """
    chosen = even(split.y_test, arguments.test_images, arguments.seed)
    name, used = about["method"], {name: attacks.ATTACKS[name] for name in arguments.attack}
    flags = tested.test_and_keep(
        stage.folder / "flags.h5",
        model,
        split,
        note=f"attack {name}",
        quiet=arguments.quiet,
        checked=stream(arguments.seed, "checked images").permutation(chosen)[: checks.IMAGES],
        epsilons=[epsilon],
        rows=chosen,
        white_box=used,
        independent=True,
    )
    row_details = {
        **details,
        "classes": list(split.classes),
        "confusion": class_rows.confusions(flags, split),
        "weight_norms": [[round(float(norm), 5) for norm in head.class_norms(model)]],
        "flags": {
            name: [class_rows.packed(values)] for name, values in flags.correct.items() if name.startswith("white-box/")
        },
    }
    if reach_images:
        row_details["reached"] = reached(arguments, model, split, chosen, epsilon, reach_images, name)
    specifications = {
        f"white-box/{name}": attack.specification() | {"epsilons": [epsilon]} for name, attack in used.items()
    }
    result = row.of_stage(
        stage,
        study="classwise",
        dataset=split.name,
        verified=split.verified,
        measures=class_rows.measures(flags, split),
        checks=row.checks([flags.checks]),
        attacks=specifications,
        details=row_details,
        **about | {"hyperparameters": {**about["hyperparameters"], "epsilon": epsilon}},
    )
    row.save(result, stage.folder / "row.json")
    run_directory.finish(stage)
    robust = class_rows.divided(result["measures"][class_rows.worst(result)])
    least = f"worst class {split.classes[robust.worst]} {100 * robust.share.min():.1f} %"
    clean = result["measures"]["clean"]["value"]
    print(f"attack {name}: clean {clean:.1f} %, robust {100 * robust.mean:.1f} %, {least} ({stage.folder})")
    if row.raised(result.checks):
        print(f"attack {name}: {row.raised(result.checks)}")
    return result


def even(labels: numpy.ndarray, count: int, seed: int) -> numpy.ndarray:
    """Sorted rows of about `count` images, equally many of each class (fewer if a class has fewer)."""
    generator, classes = stream(seed, "test images"), numpy.unique(labels)
    per_class = max(1, count // len(classes))
    return numpy.sort(
        numpy.concatenate([generator.permutation(numpy.flatnonzero(labels == label))[:per_class] for label in classes])
    )


def reached(
    arguments: argparse.Namespace,
    model: keras.Model,
    split: Split,
    chosen: numpy.ndarray,
    epsilon: float,
    count: int,
    name: str,
) -> dict:
    """The counts (count_reached) of the classes that `count` of the chosen images can be attacked into."""
    some = even(split.y_test[chosen], count, arguments.seed)
    x, y = split.x_test[chosen][some], split.y_test[chosen][some]
    with Progress(f"reach {name}", arguments.quiet) as progress:
        reachable_classes = reachable.reachable(model, x, y, epsilon=epsilon, progress=progress)
    return count_reached(reachable_classes, y)


def count_reached(reachable_classes: numpy.ndarray, labels: numpy.ndarray) -> dict:
    """Counts of the classes that images can be attacked into.

    reachable_classes: bool (N, K) of adv.reachable: image i can be attacked into class k; for its own class, image i is
        correct without an attack
    labels: (N,) true classes

    The returned entries:

    pairs: (K, K), images of each class that can be attacked into each class (diagonal: correct without an attack)
    images: (K,), images of each class
    attackable: images that are correct without an attack and can be attacked into some class
    judged: attackable images in the second half of each class's images
    similar: judged images that reach only the two classes most often reached by the first half of their own class
    anywhere: judged images that reach only the two classes most often reached by the first half of all other classes
    sizes: (K,), attackable images by the number of classes that they reach
    """
    classes = reachable_classes.shape[1]
    pairs = numpy.array([reachable_classes[labels == label].sum(axis=0) for label in range(classes)])
    own = numpy.eye(classes, dtype=bool)[labels]
    into_others = reachable_classes & ~own
    attackable = reachable_classes[own] & into_others.any(axis=1)
    first = numpy.zeros(len(labels), bool)
    for label in range(classes):
        rows = numpy.flatnonzero(labels == label)
        first[rows[: len(rows) // 2]] = True
    chosen = numpy.array([into_others[first & (labels == label)].sum(axis=0) for label in range(classes)])
    diagonal, counts = numpy.eye(classes, dtype=bool), {"attackable": attackable, "judged": attackable & ~first}
    for name, popularity in (("similar", chosen), ("anywhere", chosen.sum(axis=0) - chosen)):
        ranked = numpy.argsort(-numpy.where(diagonal, -1, popularity), axis=1, kind="stable")[:, :2]
        allowed = numpy.zeros((classes, classes), bool)
        numpy.put_along_axis(allowed, ranked, True, axis=1)
        counts[name] = counts["judged"] & ~(into_others & ~allowed[labels]).any(axis=1)
    return {
        "pairs": pairs.tolist(),
        "images": numpy.bincount(labels, minlength=classes).tolist(),
        **{name: int(flags.sum()) for name, flags in counts.items()},
        "sizes": numpy.bincount(into_others.sum(axis=1)[attackable], minlength=classes).tolist(),
    }
