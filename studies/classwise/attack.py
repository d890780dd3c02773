"""Attack one model class by class and write its row: what the attacking steps of the class-wise study share."""

import numpy

from adv import attacks, checks, reachable
from models import head
from pipeline import command, run_directory
from pipeline.progress import Progress
from reporting import row
from studies import tested
from studies.classwise import rows as class_rows
from train.seeds import stream

ATTACKS = ("fgsm", "pgd-20", "cw-linf-20", "t-pgd-1", "t-pgd-2", "t-pgd-5", "t-pgd-10", "t-pgd-50", "apgd-ce")
LINF = [name for name, attack in attacks.ATTACKS.items() if attack.norm == "linf"]


def add_options(parser):
    """The options of the step that attacks first."""
    known = command.name("attack in Linf", LINF)
    parser.set_defaults(model="small_cnn")
    parser.add_argument("--attack", nargs="+", type=known, default=list(ATTACKS), help="each run on all images")
    parser.add_argument("--test-images", type=command.whole(2), default=1000, help="attacked, as many of each class")
    parser.add_argument("--epsilon", type=command.real(above=0, most=1), help="Linf radius (default: the model's own)")


def attacked(arguments):
    """(the row that 1_attack.py made of --method, the arguments of a step that compares with it: attacked alike, the
    stages that such a step reads). Raises FileNotFoundError where it was not attacked."""
    attack = f"attack-{arguments.method}"
    folder = run_directory.folder(arguments, attack)
    asked = run_directory.record(folder)["arguments"]
    before = row.load(folder / "row.json")
    alike = {name: asked[name] for name in ("attack", "test_images")}
    alike = command.narrow(arguments, **alike, epsilon=before["hyperparameters"]["epsilon"])
    return before, alike, [attack, f"robust_training/train-{arguments.method}"]


def uses(arguments, **entries):
    """The attacks, and further catalogue entries, that a stage of the study uses."""
    return {"attack": {name: attacks.ATTACKS[name] for name in arguments.attack}, **entries}


def score(arguments, stage, model, split, *, about, details, epsilon, reach=0):
    """Attack the model, save its flags and row.json, and finish the stage. Returns the row.

    about: the row's method, title, role and hyperparameters; details: what else it shall say of the model; reach: how
    many of the images are attacked into every class.
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
    found = {
        **details,
        "classes": list(split.classes),
        "confusion": class_rows.confusions(flags, split),
        "weight_norms": [[round(float(norm), 5) for norm in head.class_norms(model)]],
        "flags": {
            name: [class_rows.packed(values)] for name, values in flags.correct.items() if name.startswith("white-box/")
        },
    }
    if reach:
        found["reached"] = reached(arguments, model, split, chosen, epsilon, reach, name)
    specifications = {f"white-box/{name}": one.specification() | {"epsilons": [epsilon]} for name, one in used.items()}
    result = row.of_stage(
        stage,
        study="classwise",
        dataset=split.name,
        verified=split.verified,
        measures=class_rows.measures(flags, split),
        checks=row.checks([flags.checks]),
        attacks=specifications,
        details=found,
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


def even(labels, count, seed):
    """Rows of about `count` images, as many of each class as that allows (fewer where a class has fewer), sorted."""
    generator, classes = stream(seed, "test images"), numpy.unique(labels)
    each = max(1, count // len(classes))
    return numpy.sort(
        numpy.concatenate([generator.permutation(numpy.flatnonzero(labels == one))[:each] for one in classes])
    )


def reached(arguments, model, split, chosen, epsilon, count, name):
    """What adv.reachable finds of `count` of the chosen images, counted (count_reached)."""
    some = even(split.y_test[chosen], count, arguments.seed)
    x, y = split.x_test[chosen][some], split.y_test[chosen][some]
    with Progress(f"reach {name}", arguments.quiet) as progress:
        found = reachable.reachable(model, x, y, epsilon=epsilon, progress=progress)
    return count_reached(found, y)


def count_reached(found, labels):
    """adv.reachable's answer (N, K) and the labels (N,), counted.

    pairs: (K, K), images of each class that can be attacked into each other one (on the diagonal, those right as they
    are); images: (K,) of each class; attackable: images right as they are that some class can be reached from; judged:
    those of them in the second half of each class's images; similar: of the judged, those all of whose classes are
    among the two that most images of the first half of their own class reach; anywhere: the same with the two classes
    that most images of all other classes reach there; sizes: (K,), how many attackable images reach so many classes.
    """
    classes = found.shape[1]
    pairs = numpy.array([found[labels == label].sum(axis=0) for label in range(classes)])
    own = numpy.eye(classes, dtype=bool)[labels]
    other = found & ~own
    attackable = found[own] & other.any(axis=1)
    first = numpy.zeros(len(labels), bool)
    for label in range(classes):
        rows = numpy.flatnonzero(labels == label)
        first[rows[: len(rows) // 2]] = True
    chosen = numpy.array([other[first & (labels == label)].sum(axis=0) for label in range(classes)])
    diagonal, counts = numpy.eye(classes, dtype=bool), {"attackable": attackable, "judged": attackable & ~first}
    for name, popularity in (("similar", chosen), ("anywhere", chosen.sum(axis=0) - chosen)):
        ranked = numpy.argsort(-numpy.where(diagonal, -1, popularity), axis=1, kind="stable")[:, :2]
        allowed = numpy.zeros((classes, classes), bool)
        numpy.put_along_axis(allowed, ranked, True, axis=1)
        counts[name] = counts["judged"] & ~(other & ~allowed[labels]).any(axis=1)
    return {
        "pairs": pairs.tolist(),
        "images": numpy.bincount(labels, minlength=classes).tolist(),
        **{name: int(flags.sum()) for name, flags in counts.items()},
        "sizes": numpy.bincount(other.sum(axis=1)[attackable], minlength=classes).tolist(),
    }
