"""The robust accuracy of a model under AutoAttack in one call, with intervals and checks.

result = adv.evaluation.benchmark(model, x, y, norm="linf", epsilon=8 / 255)
print(result.table())                                  # clean 83.1 %, after each attack, robust 44.0 %
result.robust.value, result.flags["apgd-t"]            # 0.44, bool (N,): correct under it and those before it
"""

import dataclasses
import json
import pathlib

import numpy

import models
from adv import evaluate, search, suspicions
from adv.autoattack import AutoAttack
from data import files
from models import compute

KIND = "flags of an attack"
TOGETHER = 1024  # images between two reports of progress; those that are fooled leave within them


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Benchmark:
    """What `benchmark` measured.

    clean, robust: evaluate.Share, the fraction correct without and under all attacks; flags: name -> bool (N,), where
    the model is correct under that attack and all before it, "clean" first; checks: list of checks.Check; attacks:
    name -> specification; norm, epsilon, version, seed: as asked.
    """

    clean: evaluate.Share
    robust: evaluate.Share
    flags: dict
    checks: list
    attacks: dict
    norm: str
    epsilon: float
    version: str
    seed: int

    def table(self):
        """The accuracies after each attack and the checks that were raised, in lines of text."""
        lines = [f"AutoAttack {self.version}, {self.norm} {255 * self.epsilon:.4g}/255, {self.clean.total} images"]
        for name, flags in self.flags.items():
            found = evaluate.share(flags)
            lines.append(f"{name:10} {100 * found.value:6.2f} %  ({100 * found.low:.2f} to {100 * found.high:.2f})")
        raised = [check for check in self.checks if not check.passed]
        lines += [f"check {one.name}: {one.seen}; expected {one.expected} (docs/checks.md)" for one in raised]
        return "\n".join(lines if raised else [*lines, f"checks: all {len(self.checks)} passed"])

    def row(self):
        """All but the flags as JSON values, accuracies in percent."""
        accuracies = {name: round(100 * float(flags.mean()), 2) for name, flags in self.flags.items()}
        ends = {which: dataclasses.asdict(getattr(self, which)) for which in ("clean", "robust")}
        asked = {name: getattr(self, name) for name in ("norm", "epsilon", "version", "seed")}
        return {
            **asked, "accuracies": accuracies, **ends, "attacks": self.attacks,
            "checks": [dataclasses.asdict(one) for one in self.checks],
        }  # fmt: skip


def benchmark(
    model, x, y, *, norm="linf", epsilon=8 / 255, version="standard", seed=0, batch_size=256, folder=None, progress=None
):
    """AutoAttack on a model: Benchmark.

    model: a Keras model of images in [0, 1] that returns logits; x: images (N, H, W, C), uint8 or floats in [0, 1]; y:
    integer labels (N,); norm: "linf" or "l2"; epsilon: radius of the ball in that norm, in [0, 1] pixel scale; version:
    "standard", "plus" or "rand"; seed: of every random start and patch; batch_size: images attacked together; folder:
    where the flags of each attack are kept, and read back when the same call is made again (None: nowhere); progress:
    ``progress(done, total, attack)``, images of the attack that is under way.
    Every attack runs on the images that all before it left correct; what counts is the predicted class of the stored
    float32 images. Raises ValueError for a model that returns probabilities, images or labels that do not belong to it,
    an epsilon out of range, and a folder that holds flags of another call.
    """
    attack = AutoAttack(norm=norm, version=version, seed=seed)
    evaluate.check_epsilon(epsilon, norm)
    first = slice(0, batch_size)
    checked = suspicions.before(model, x[first], y[first], attack=attack, epsilon=epsilon, batch_size=batch_size)
    images, labels, said = search.judge(model, x, y, batch_size=batch_size)
    about = {"model": models.fingerprint(model), "data": files.fingerprint(images, labels), "epsilon": epsilon}
    about["backend"] = compute.BACKEND
    flags = {"clean": said == labels}
    for name, one in attack.attacks.items():
        path = None if folder is None else pathlib.Path(folder) / f"{name}.h5"
        facts = about | {"attack": one.specification(), "before": files.fingerprint(said == labels)}
        if path is not None and path.is_file():
            said = _read(path, facts)
        else:
            for rows in _parts(numpy.flatnonzero(said == labels), one, progress, name):
                sizes = {"epsilon": epsilon, "before": labels[rows], "batch_size": batch_size}
                said[rows] = evaluate.attacked_classes(model, images[rows], labels[rows], one, **sizes)
            if path is not None:
                files.save_artefact(path, KIND, {"predicted": said}, facts)
        flags[name] = said == labels
    return Benchmark(
        clean=evaluate.share(flags["clean"]),
        robust=evaluate.share(said == labels),
        flags=flags,
        checks=[*checked, *suspicions.after(flags)],
        attacks={name: one.specification() for name, one in attack.attacks.items()},
        norm=norm,
        epsilon=epsilon,
        version=version,
        seed=seed,
    )


def _parts(rows, attack, progress, name):
    """The rows, TOGETHER at a time."""
    for start in range(0, len(rows), TOGETHER):
        yield rows[start : start + TOGETHER]
        if progress is not None:
            progress(min(start + TOGETHER, len(rows)), len(rows), name)


def _read(path, facts):
    """The predicted classes of a finished attack. Raises ValueError where they are of another call."""
    arrays, kept = files.load_artefact(path, KIND, facts=list(facts))
    differing = [name for name, value in facts.items() if kept[name] != json.loads(json.dumps(value))]
    if differing:
        raise ValueError(f"{path} holds flags of another {', '.join(differing)}: choose another folder or delete it")
    return arrays["predicted"]
