"""A release of DARE's cells: the nets of every method, the scored adversarials, flags, rows and model cards.

Members of the archive (data/release.py), in a folder for each cell and seed:

    split.h5                       which training images the nets saw
    <attack>.set.h5                the scored adversarials (adv/packed_set.py)
    <method>/<repeat>.keras        a net of float32 weights
    <method>/<repeat>.flags.h5     its predictions (dare/flags.py)
    <method>/row.json, card.md     its row, and what it is in words
"""

from __future__ import annotations

import argparse
import pathlib
import tempfile

import numpy

from adv import adversarial_set, packed_set
from dare.flags import Flags
from data import release
from pipeline import provenance, records
from pipeline.progress import Progress
from reporting import row as result_row
from studies.dare import cards, measured, methods, trained_cell


def pack(path: str | pathlib.Path, seeds: list[pathlib.Path], arguments: argparse.Namespace) -> list[str]:
    """Write a release. Returns a sentence on each adversarial set that is kept as float32.

    path: of the archive; seeds: the folders of cells' seeds, as <runs>/dare/<cell>/seed0
    arguments: data_dir, unverified and quiet of the script
    Raises FileNotFoundError for a seed without a tested method.
    """
    cells, nets, sentences = [], {}, []
    facts = {"cells": cells, "nets": nets, **provenance.facts()}
    with release.writing(path, facts) as add:
        for folder in seeds:
            sentences += _pack_seed(add, folder, arguments, cells, nets)
    return sentences


def _pack_seed(add, folder, arguments, cells, nets):
    prefix = f"{folder.parent.name}/{folder.name}"
    tested = [name for name, *_ in methods.methods() if records.finished(folder / f"test-{name}")]
    if not tested:
        raise FileNotFoundError(f"{folder}: no tested method; test them with scripts/dare/7_test.py")
    trained_with = records.record(folder / "train")["arguments"]
    options = vars(arguments) | {name: trained_with[name] for name in ("dataset", "model", "seed")}
    cell_arguments = argparse.Namespace(**options | {"study": "dare", "runs": str(folder.parents[2])})
    opened = trained_cell.load(cell_arguments)
    attacks = records.record(folder / "test-original")["arguments"]["attack"]
    sets = trained_cell.adversarial_sets(cell_arguments, opened, attacks)
    inputs = {name: stages for name, stages, *_ in methods.methods()}
    models_of = {name: trained_cell.weight_files(folder, inputs[name]) for name in tested}
    encodings = {name: packed_set.candidate(adversarials, opened.split) for name, adversarials in sets.items()}
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        paths = {name: scratch / f"{name}.set.h5" for name in sets}
        for name, adversarials in sets.items():
            packed_set.save(adversarials, opened.split, paths[name], encodings[name])
        decoded = {name: packed_set.load(path, opened.split) for name, path in paths.items()}
        drawn = {
            name: adversarial_set.draw(opened.split, adversarials.drawn, cell_arguments.seed)["test"]
            for name, adversarials in sets.items()
        }
        with Progress(f"pack {prefix}", cell_arguments.quiet) as progress:
            for done, (name, weights) in enumerate(models_of.items(), 1):
                for repeat, path in enumerate(weights):
                    trained_cell.load_weights(opened, path)
                    flags = Flags.load(folder / f"test-{name}" / f"flags-{repeat}.h5", data=opened.split.fingerprint)
                    for attack in _changed(opened, flags, decoded, drawn):
                        encodings[attack] = "float32"
                    saved = scratch / "net.keras"
                    opened.model.save(saved)
                    add(f"{prefix}/{name}/{repeat}.keras", saved)
                    add(f"{prefix}/{name}/{repeat}.flags.h5", folder / f"test-{name}" / f"flags-{repeat}.h5")
                row = result_row.load(folder / f"test-{name}" / "row.json")
                add(f"{prefix}/{name}/row.json", folder / f"test-{name}" / "row.json")
                add(f"{prefix}/{name}/card.md", cards.card(row).encode())
                progress(done, len(models_of), name)
        rounded = [name for name, encoding in encodings.items() if encoding == "float32"]
        for name, adversarials in sets.items():
            packed_set.save(adversarials, opened.split, paths[name], encodings[name])
            add(f"{prefix}/{name}.set.h5", paths[name])
    add(f"{prefix}/split.h5", folder / "train" / "split.h5")
    cell = {
        "folder": prefix,
        "dataset": cell_arguments.dataset,
        "model": cell_arguments.model,
        "seed": cell_arguments.seed,
    }
    cells.append(cell | {"methods": {name: len(weights) for name, weights in models_of.items()}, "attacks": encodings})
    suffix = f"-seed{cell_arguments.seed}" if cell_arguments.seed else ""
    nets.update({f"{folder.parent.name}-{name}{suffix}": f"{prefix}/{name}/0.keras" for name in models_of})
    return [f"{prefix}: {name} is kept as float32, since float16 changes a prediction" for name in rounded]


def _changed(opened, flags, decoded, drawn):
    """The attacks on whose decoded images the model predicts another class than its flags say."""
    again = measured.transferred(opened.model, opened.split, decoded, drawn)
    return {
        measure.rpartition("/")[2]
        for measure, predicted in again["prediction"].items()
        if measure.rpartition("/")[2] in decoded and not numpy.array_equal(predicted, flags.prediction[measure])
    }
