"""Score the nets of a release again: clean images and transferred adversarials are predicted anew, nothing is trained.

White-box numbers and smallest perturbations come from the flags in the release, which keep predictions and sizes but
no white-box images. Every number is compared with the row in the release.
"""

from __future__ import annotations

import argparse
import dataclasses
import pathlib
import re
import tempfile

import numpy

import data
import models
from adv import adversarial_set, packed_set, scoring
from dare.flags import Flags
from data import release
from pipeline.progress import Progress
from reporting import row as result_row
from reporting import tables as writing
from studies import catalogue
from studies.dare import measured, report

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9@._:+ -]*")


def rescore(where: str | pathlib.Path, arguments: argparse.Namespace, folder: pathlib.Path) -> tuple[list, list[str]]:
    """Score every net of a release again: the pooled rows, and a sentence on each number that differs.

    where: path or address of the release
    arguments: data_dir, unverified and quiet
    folder: where rows, flags and tables are written
    Raises FileNotFoundError or ValueError for a release that is missing, damaged, or of other data files.
    """
    rows, folders, differing = {}, {}, []
    with release.reading(where) as opened, tempfile.TemporaryDirectory() as scratch:
        for cell in _cells(opened):
            for row, flags_folder, sentences in _seed(
                opened, cell, arguments, pathlib.Path(folder), pathlib.Path(scratch)
            ):
                key = row["study"], row["dataset"], row["model"], row["method"]
                rows.setdefault(key, []).append(row)
                folders.setdefault(key, []).append(flags_folder)
                differing += sentences
    pooled = report.attach([report.pool(seeds) for seeds in rows.values()], folders)
    writing.write(catalogue.tables(pooled), pathlib.Path(folder) / "tables")
    return pooled, differing


def _cells(opened):
    """The cells that a release lists. Raises ValueError if its list is malformed."""
    cells = opened.facts.get("cells")
    texts = ("folder", "dataset", "model")
    for cell in cells if isinstance(cells, list) else [None]:
        valid = isinstance(cell, dict) and all(isinstance(cell.get(name), str) for name in texts)
        valid = valid and isinstance(cell.get("seed"), int)
        valid = valid and all(isinstance(cell.get(name), dict) for name in ("methods", "attacks"))
        names = [*cell["folder"].split("/"), *cell["methods"], *cell["attacks"]] if valid else [""]
        if not all(NAME.fullmatch(name) and ".." not in name for name in names):
            raise ValueError(f"{opened.path}: lists no cells, or names of none: not a release of scripts/pack.py")
    return cells


def _seed(opened, cell, arguments, folder, scratch):
    """Yield (row, folder of its flags, sentences) of every method of a cell's seed."""
    dataset = data.load(cell["dataset"], arguments.data_dir, unverified=arguments.unverified)
    split = data.load_split(opened.extract(f"{cell['folder']}/split.h5", scratch), dataset)
    sets = {
        name: packed_set.load(opened.extract(f"{cell['folder']}/{name}.set.h5", scratch), split)
        for name in cell["attacks"]
    }
    drawn = {
        name: adversarial_set.draw(split, adversarials.drawn, cell["seed"])["test"]
        for name, adversarials in sets.items()
    }
    before = None
    with Progress(f"score {cell['folder']} again", arguments.quiet) as progress:
        ordered = sorted(cell["methods"].items(), key=lambda method: method[0] != "original")
        for done, (method, repeats) in enumerate(ordered, 1):
            target = folder / cell["folder"] / f"test-{method}"
            rescored, sentences = [], []
            for repeat in range(repeats):
                stem = f"{cell['folder']}/{method}/{repeat}"
                flags = Flags.load(opened.extract(f"{stem}.flags.h5", scratch), data=split.fingerprint)
                model = models.load(opened.extract(f"{stem}.keras", scratch))
                again, changed = _again(model, flags, split, sets, drawn)
                again.save(target / f"flags-{repeat}.h5")
                rescored.append(again)
                sentences += [f"{stem}: {sentence}" for sentence in changed]
            before = rescored[0].prediction["clean"] if before is None else before
            row = result_row.load(opened.extract(f"{cell['folder']}/{method}/row.json", scratch))
            failed = scoring.failures(rescored[0].index, sets)
            about = {"dataset": cell["dataset"], "model": cell["model"], "method": method}
            measures = measured.measures(rescored, **about, before=before, failed=failed)
            sentences += [f"{cell['folder']}/{method}: {sentence}" for sentence in _numbers(row["measures"], measures)]
            row = dataclasses.replace(row, measures=measures)
            result_row.save(row, target / "row.json")
            progress(done, len(ordered), method)
            yield row, target, sentences


def _again(model, flags, split, sets, drawn):
    """(the flags with every prediction that can be made again, sentences on those that differ)."""
    if models.fingerprint(model) != flags.model:
        raise ValueError("a net of the release is not the one that its flags are of: pack the release again")
    scored = measured.transferred(model, split, sets, drawn)
    differing = []
    for measure, predicted in scored["prediction"].items():
        packed = flags.prediction.get(measure)
        if packed is None or not numpy.array_equal(flags.index[measure], scored["index"][measure]):
            differing.append(f"{measure} was scored on other images")
        elif (packed != predicted).any():
            differing.append(f"{measure}: {int((packed != predicted).sum())} of {len(packed)} predictions differ")
    groups = {name: getattr(flags, name) | scored[name] for name in ("prediction", "label", "index")}
    return dataclasses.replace(flags, **groups), differing


def _numbers(packed, measures):
    """Sentences on the values of a row that are not as in the release."""
    for name, measure in measures.items():
        if name in packed and packed[name]["values"] != measure["values"]:
            yield f"{name} is {measure['value']} here, {packed[name]['value']} in the release"
