"""Test a folder of models on adversarial sets: one flag an example, True where the model is right.

    clean                   x_test
    er/<attack>             the test part of the attack's set: Empirical Robustness, the papers' measure [P]
    er-heldout/<attack>     the same on adversarials of x_test, which no model was trained or tuned on [D]
    er-x1.1/<attack>        the test part pushed 1.1 times as far from the original image, and 1.5 times [D]
    white-box/<attack>@<eps>  x_test, attacked anew on the model under test [D]
and, as a number an example rather than a flag,
    minimal/<attack>        the size, in the attack's norm, of its smallest perturbation of an x_test image
"""

import dataclasses
import functools
import itertools

import numpy

import data
from adv import evaluate, search
from data import files

KIND = "flags"
PUSHES = (1.1, 1.5)


@dataclasses.dataclass(frozen=True)
class Flags:
    """What one model got right: flags, measure -> bool (n,); index, measure -> source rows (n,); distance,
    measure -> float32 (n,), NaN where the attack failed; model: SHA-256 of its weights."""

    flags: dict
    index: dict
    distance: dict
    model: str

    def save(self, path):
        """Write to `path` (HDF5)."""
        arrays = {}
        for group in ("flags", "index", "distance"):
            arrays |= {f"{group}:{name.replace('/', '|')}": array for name, array in getattr(self, group).items()}
        files.save_artefact(path, KIND, arrays, {"model": self.model})

    @classmethod
    def load(cls, path):
        """Read saved flags. Raises FileNotFoundError, or ValueError where the file is damaged or foreign."""
        file, _ = files.open_artefact(path, KIND)
        with file:
            names = list(file)
        arrays, facts = files.load_artefact(path, KIND, names, ["model"])
        groups = {"flags": {}, "index": {}, "distance": {}}
        for name, array in arrays.items():
            group, _, measure = name.partition(":")
            groups.get(group, {})[measure.replace("|", "/")] = array
        measured = groups["flags"] | groups["distance"]
        sizes = {name: array.shape for name, array in measured.items()}
        if not groups["flags"] or sizes != {name: array.shape for name, array in groups["index"].items()}:
            raise ValueError(f"{path}: its flags and indices do not match: delete it and test again")
        return cls(**groups, model=facts["model"])


def ball(name, epsilon):
    """How a white-box measure is called: "pgd@8/255" where epsilon is so many 255ths, else "pgd@0.1"."""
    steps = round(255 * epsilon)
    return f"{name}@{steps}/255" if abs(255 * epsilon - steps) < 1e-6 else f"{name}@{epsilon:g}"


def test(model, split, sets, *, fingerprint, white_box, minimal, rows, batch_size=256, progress=None):
    """Score one model. Returns Flags.

    sets: attack name -> AdversarialSet; white_box: name (see `ball`) -> (attack, epsilon), epsilon in [0, 1] pixel
    scale; minimal: name -> attack whose smallest perturbations are measured; rows: the x_test rows for these two;
    fingerprint: the model's digest.
    """
    probes = {"clean": (split.x_test, split.y_test, numpy.arange(len(split.x_test)))}
    for name, adversarial in sets.items():
        part, heldout = adversarial.parts["test"], adversarial.parts["heldout"]
        probes[f"er/{name}"] = (part.images, part.labels, part.index)
        probes[f"er-heldout/{name}"] = (heldout.images, heldout.labels, heldout.index)
        for factor in PUSHES:
            pushed = evaluate.push(split.x_train[part.index], part.images, factor)
            probes[f"er-x{factor}/{name}"] = (pushed, part.labels, part.index)
    flags, index, distance = {}, {}, {}
    total, done = len(probes) + len(white_box) + len(minimal), itertools.count(1)
    for measure, (x, y, source) in probes.items():
        if len(y):
            flags[measure] = evaluate.correct(model, x, y, batch_size=batch_size)
            index[measure] = source
        _report(progress, next(done), total, measure)
    x, y = split.x_test[rows], split.y_test[rows]
    for name, (attack, epsilon) in white_box.items():
        measure = f"white-box/{name}"
        flags[measure] = evaluate.robust_flags(model, x, y, attack, epsilon=epsilon, batch_size=batch_size)
        index[measure] = rows
        _report(progress, next(done), total, measure)
    for name, attack in minimal.items():
        measure = f"minimal/{name}"
        found = search.minimal(model, x, y, attack, batch_size=batch_size)
        size = search.norm(found.images - data.to_unit(x), attack.norm)
        distance[measure] = numpy.where(found.success, size, numpy.nan).astype("float32")
        index[measure] = rows
        _report(progress, next(done), total, measure)
    return Flags(flags, index, distance, fingerprint)


def worst_case(flags, prefix):
    """Right under every measure that starts with `prefix`, over the source images that all of them hold (n,)."""
    measures = [name for name in flags.flags if name.startswith(prefix)]
    common = functools.reduce(numpy.intersect1d, (flags.index[name] for name in measures))
    return evaluate.worst_case(
        {name: flags.flags[name][numpy.searchsorted(flags.index[name], common)] for name in measures}
    )


def _report(progress, done, total, note):
    if progress is not None:
        progress(done, total, note)
