"""Robust accuracy under AutoAttack in one call, with intervals and checks.

result = adv.evaluation.benchmark(model, x, y, norm="linf", epsilon=8 / 255)
print(result.table())                                  # clean 83.1 %, after each attack, robust 44.0 %
result.robust.value, result.flags["apgd-t"]            # 0.44, bool (N,): correct under it and those before it
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Callable

import keras
import numpy

import models
from adv import checks, evaluate, search, suspicions
from adv.autoattack import AutoAttack
from data import files
from models import compute

KIND = "flags of an attack"
TOGETHER = 512  # images between two reports of progress, and two saves


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Benchmark:
    """The result of `benchmark`.

    clean, robust: fraction correct without attack and under all attacks.
    flags: name -> bool (N,), correct under that attack and all before it; "clean" first.
    checks: list of checks.Check: adv.suspicions on the first batch, checks.brief on all images.
    attacks: name -> specification.
    norm, epsilon, version, seed: arguments of the call.
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

    def table(self) -> str:
        """The accuracy after each attack, the saturated fraction and the failed checks, as text."""
        lines = [f"AutoAttack {self.version}, {self.norm} {255 * self.epsilon:.4g}/255, {self.clean.total} images"]
        for name, flags in self.flags.items():
            accuracy = evaluate.share(flags)
            interval = f"({100 * accuracy.low:.2f} to {100 * accuracy.high:.2f})"
            lines.append(f"{name:10} {100 * accuracy.value:6.2f} %  {interval}")
        lines += [f"{check.name:10} {check.value:6.2f} %" for check in self.checks if check.value is not None]
        raised = [check for check in self.checks if not check.passed]
        lines += [f"check {check.name}: {check.seen}; expected {check.expected} (docs/checks.md)" for check in raised]
        return "\n".join(lines if raised else [*lines, f"checks: all {len(self.checks)} passed"])

    def row(self) -> dict:
        """Everything except the flags as JSON values, accuracies in percent."""
        accuracies = {name: round(100 * float(flags.mean()), 2) for name, flags in self.flags.items()}
        ends = {which: dataclasses.asdict(getattr(self, which)) for which in ("clean", "robust")}
        settings = {name: getattr(self, name) for name in ("norm", "epsilon", "version", "seed")}
        return {
            **settings, "accuracies": accuracies, **ends, "attacks": self.attacks,
            "checks": [dataclasses.asdict(check) for check in self.checks],
        }  # fmt: skip


def benchmark(
    model: keras.Model,
    x: numpy.ndarray,
    y: numpy.ndarray,
    *,
    norm: str = "linf",
    epsilon: float = 8 / 255,
    version: str = "standard",
    seed: int = 0,
    batch_size: int = 256,
    folder: pathlib.Path | str | None = None,
    progress: Callable | None = None,
) -> Benchmark:
    """Run AutoAttack on a model: Benchmark.

    model: Keras model of images in [0, 1] that returns logits.
    x: images (N, H, W, C), uint8 or floats in [0, 1].
    y: integer labels (N,).
    norm: "linf" or "l2".
    epsilon: radius in that norm, in [0, 1] pixel scale.
    version: "standard", "plus" or "rand".
    seed: of every random start and patch.
    batch_size: images attacked together.
    folder: where predictions are saved during each attack, to resume a killed call (None: not saved).
    progress: called as progress(done, total, attack), in images of the running attack.
    Each attack runs on the images that are still correct; the predicted class of the stored float32 images counts.
    Raises ValueError for a model that returns probabilities, images or labels that do not belong to it, an argument
    out of range, and a folder with predictions of another call; OSError for a folder that cannot be written.
    """
    attack = AutoAttack(norm=norm, version=version, seed=seed)
    evaluate.check_epsilon(epsilon, norm)
    compute.check_batch_size(batch_size)
    if folder is not None:
        pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
    first = slice(0, batch_size)
    checked = suspicions.before(model, x[first], y[first], attack=attack, epsilon=epsilon, batch_size=batch_size)
    checked += checks.brief(model, x, y, batch_size=batch_size)
    images, labels, predicted = search.judge(model, x, y, batch_size=batch_size)
    origin = {"model": models.fingerprint(model), "data": files.fingerprint(images, labels), "epsilon": epsilon}
    origin |= compute.origin()
    flags = {"clean": predicted == labels}
    for name, member in attack.attacks.items():
        path = None if folder is None else pathlib.Path(folder) / f"{name}.h5"
        facts = origin | {"attack": member.specification(), "before": files.fingerprint(predicted == labels)}
        predicted, left = _saved(path, facts) or (predicted, numpy.flatnonzero(predicted == labels))
        total, together = len(left), max(TOGETHER, batch_size)
        while len(left):
            rows, left = left[:together], left[together:]
            sizes = {"epsilon": epsilon, "before": labels[rows], "batch_size": batch_size}
            predicted[rows] = evaluate.attacked_classes(model, images[rows], labels[rows], member, **sizes)
            if path is not None:
                files.save_artefact(path, KIND, {"predicted": predicted, "left": left}, facts)
            if progress is not None:
                progress(total - len(left), total, name)
        if path is not None and not path.is_file():  # no image was left to attack
            files.save_artefact(path, KIND, {"predicted": predicted, "left": left}, facts)
        flags[name] = predicted == labels
    return Benchmark(
        clean=evaluate.share(flags["clean"]),
        robust=evaluate.share(predicted == labels),
        flags=flags,
        checks=[*checked, *suspicions.after(flags)],
        attacks={name: member.specification() for name, member in attack.attacks.items()},
        norm=norm,
        epsilon=epsilon,
        version=version,
        seed=seed,
    )


def _saved(path, facts):
    """(predicted classes, rows not yet attacked) of a file, None without one.

    Raises ValueError if the file belongs to another call.
    """
    if path is None or not path.is_file():
        return None
    arrays, saved = files.load_artefact(path, KIND, ("predicted", "left"), facts=list(facts))
    differing = [name for name, value in facts.items() if saved[name] != json.loads(json.dumps(value))]
    if differing:
        raise ValueError(f"{path} holds flags of another {', '.join(differing)}: choose another folder or delete it")
    return arrays["predicted"], arrays["left"]
