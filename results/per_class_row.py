"""Attack one model class by class and write its row: what the attacking steps of the class-wise study share."""

import dataclasses
import itertools

import numpy

from adv import attacks, checks, reachable
from dare import test
from data import files, stratify
from models import fingerprint, head
from results import command, per_class, provenance, row, run

ATTACKS = ("fgsm", "pgd-20", "cw-linf-20", "t-pgd-1", "t-pgd-2", "t-pgd-5", "t-pgd-10", "t-pgd-50", "apgd-ce")
LINF = [name for name, attack in attacks.ATTACKS.items() if attack.norm == "linf"]


def add_options(parser):
    """The options of every step that attacks."""
    known = command.name("attack in Linf", LINF)
    parser.set_defaults(model="small_cnn")
    parser.add_argument("--attack", nargs="+", type=known, default=list(ATTACKS), help="each run on all images")
    parser.add_argument("--test-images", type=command.whole(2), default=1000, help="attacked, as many of each class")
    parser.add_argument("--epsilon", type=command.real(above=0, most=1), help="Linf radius (default: the model's own)")


def score(arguments, stage, model, split, *, about, epsilon, reach=0):
    """Attack the model, save its flags and row.json, and finish the stage. Returns the row.

    about: the row's method, title, role, hyperparameters and whatever else it shall say of the model; reach: how many
    of the images are attacked into every class.
    """
    chosen, _ = stratify.stratify(
        split.y_test, (min(arguments.test_images, len(split.y_test) - 1), len(split.y_test)), arguments.seed
    )
    path, identity = stage.folder / "flags.h5", fingerprint(model)
    if not path.is_file():
        used = {name: attacks.ATTACKS[name] for name in arguments.attack}
        with command.Progress(f"attack {about['method']}", arguments.quiet) as progress:
            flags = test.test(
                model, split, {}, fingerprint=identity, white_box=used, epsilons=[epsilon], minimal={}, rows=chosen,
                independent=True, progress=progress,
            )  # fmt: skip
        few = chosen[: checks.IMAGES]
        seen = checks.check(model, split.x_test[few], split.y_test[few], epsilon=epsilon)
        dataclasses.replace(flags, checks=tuple(map(dataclasses.asdict, seen))).save(path)
    flags = test.Flags.load(path, model=identity, data=split.fingerprint)
    specifications = {f"white-box/{name}": attacks.ATTACKS[name].specification() for name in arguments.attack}
    result = {
        "study": "classwise",
        "dataset": split.name,
        "model": arguments.model,
        **about,
        "verified": split.verified,
        "classes": list(split.classes),
        "seeds": [arguments.seed],
        "repeats": 1,
        "measures": per_class.measures(flags, split),
        "confusion": per_class.confusions(flags, split),
        "weight_norms": [[round(float(norm), 5) for norm in head.class_norms(model)]],
        "paired": paired(flags),
        "checks": row.checks([flags.checks]),
        "attacks": {name: one | {"epsilons": [epsilon]} for name, one in specifications.items()},
        **provenance.facts(),
    }
    result["hyperparameters"] = {**about["hyperparameters"], "epsilon": epsilon}
    if reach:
        result["reached"] = reached(arguments, model, split, chosen, epsilon, reach, about["method"])
    files.write_json(stage.folder / "row.json", result)
    run.finish(stage)
    robust, name = per_class.divided(result["measures"][per_class.worst(result)]), about["method"]
    least = f"worst class {split.classes[robust.worst]} {100 * robust.share.min():.1f} %"
    clean = result["measures"]["clean"]["value"]
    print(f"attack {name}: clean {clean:.1f} %, robust {100 * robust.mean:.1f} %, {least} ({stage.folder})")
    if row.raised(result["checks"]):
        print(f"attack {about['method']}: {row.raised(result['checks'])}")
    return result


def paired(flags):
    """ "<Temperature-PGD> vs. <other>" -> [[fooled by the first alone, by the other alone, images], the same] of two
    halves of the images: on one a temperature is chosen, on the other it is judged."""
    names = {name.partition("/")[2].partition("@")[0]: name for name in flags.flags if name.startswith("white-box/")}
    found = {}
    for one, other in itertools.product(names, ("pgd-20", "cw-linf-20")):
        if one.startswith("t-pgd-") and other in names:
            first, second = flags.flags[names[one]], flags.flags[names[other]]
            found[f"{one} vs. {other}"] = [
                [int((~first & second)[half].sum()), int((first & ~second)[half].sum()), len(first[half])]
                for half in (slice(0, None, 2), slice(1, None, 2))
            ]
    return found


def reached(arguments, model, split, chosen, epsilon, count, name):
    """What adv.reachable finds of `count` of the chosen images, counted.

    pairs: (K, K), images of each class that can be attacked into each other one (on the diagonal, those right as they
    are); images: (K,) of each class; attackable: images right as they are that some class can be reached from; similar:
    of these, all of whose classes are among the two that most images of their own class reach; anywhere: the same with
    the two classes that most images of all others reach; sizes: (K,), how many reach so many classes.
    """
    some, _ = stratify.stratify(split.y_test[chosen], (min(count, len(chosen) - 1), len(chosen)), arguments.seed)
    x, y = split.x_test[chosen][some], split.y_test[chosen][some]
    with command.Progress(f"reach {name}", arguments.quiet) as progress:
        found = reachable.reachable(model, x, y, epsilon=epsilon, progress=progress)
    return count_reached(found, y)


def count_reached(found, labels):
    """The counts of `reached`, of adv.reachable's answer (N, K) and the labels (N,)."""
    classes = found.shape[1]
    pairs = numpy.array([found[labels == label].sum(axis=0) for label in range(classes)])
    own = numpy.eye(classes, dtype=bool)[labels]
    usable = found[own]
    other = found & ~own
    away = numpy.where(numpy.eye(classes, dtype=bool), -1, pairs)
    everywhere = numpy.where(numpy.eye(classes, dtype=bool), -1, pairs.sum(axis=0) - numpy.diag(pairs))
    counts = {"attackable": usable & other.any(axis=1)}
    for name, popularity in (("similar", away), ("anywhere", everywhere)):
        allowed = numpy.zeros((classes, classes), bool)
        numpy.put_along_axis(allowed, numpy.argsort(-popularity, axis=1, kind="stable")[:, :2], True, axis=1)
        counts[name] = counts["attackable"] & ~(other & ~allowed[labels]).any(axis=1)
    sizes = numpy.bincount(other.sum(axis=1)[usable], minlength=classes)
    return {
        "pairs": pairs.tolist(),
        "images": numpy.bincount(labels, minlength=classes).tolist(),
        **{name: int(flags.sum()) for name, flags in counts.items()},
        "sizes": sizes.tolist(),
    }
