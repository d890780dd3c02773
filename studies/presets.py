"""The presets of a study, read from scripts/presets/<study>.toml: cells and their commands. Loads no library."""

import dataclasses
import itertools
import pathlib
import shlex
import tomllib
from collections.abc import Sequence

ROOT = pathlib.Path(__file__).resolve().parents[1]
SCRIPTS = ROOT / "scripts"
FOLDER = SCRIPTS / "presets"


@dataclasses.dataclass(frozen=True)
class Part:
    """cells: tuple of (data set, model, seed); commands: tuple of (script as "dare/1_train", its options)."""

    cells: tuple
    commands: tuple


def load(study: str) -> dict[str, tuple[Part, ...]]:
    """preset name -> its Parts, in the order of the file.

    Raises ValueError for an unknown script, and where a part is like one that is not there or replaces a text that its
    commands lack.
    """
    path = FOLDER / f"{study}.toml"
    with open(path, "rb") as file:
        presets = tomllib.load(file)
    return {
        name: tuple(_part(path, name, part, _text(path, name, part, presets)) for part in parts)
        for name, parts in presets.items()
    }


def cells(
    parts: Sequence[Part],
    datasets: Sequence[str] | None = None,
    models: Sequence[str] | None = None,
    seeds: Sequence[int] | None = None,
) -> dict[tuple, tuple]:
    """cell -> its commands.

    datasets, models, seeds: replace the preset's, in all combinations; without `models`, a data set of the preset
        keeps its own models
    """
    commands_of = {cell: part.commands for part in parts for cell in part.cells}
    if not (datasets or models):
        selected = dict.fromkeys((*pair, seed) for *pair, own in commands_of for seed in seeds or [own])
    else:
        own = [dict.fromkeys(values) for values in zip(*commands_of, strict=True)]
        selected = itertools.product(datasets or own[0], models or own[1], seeds or own[2])
        if not models:
            alone = {name: {model for dataset, model, _ in commands_of if dataset == name} for name in own[0]}
            selected = [cell for cell in selected if cell[1] in alone.get(cell[0], {cell[1]})]
    by_pair = {cell[:2]: commands for cell, commands in commands_of.items()}
    return {tuple(cell): by_pair.get(tuple(cell[:2]), parts[0].commands) for cell in selected}


def _text(path, name, part, presets):
    """The commands of a part: its own, or those of the first part of the preset that it is like, with replacements."""
    if "commands" in part:
        if {"like", "replace"} & {*part}:
            raise ValueError(f"{path}: a part of {name} has commands and is like a preset, expected one of the two")
        return part["commands"]
    text = presets.get(part.get("like"), [{}])[0].get("commands")
    if text is None:
        raise ValueError(f"{path}: a part of {name} has neither commands nor a preset with commands that it is like")
    for old, new in part.get("replace", {}).items():
        if old not in text:
            raise ValueError(f"{path}: {name} replaces {old!r}, which the commands of {part['like']} lack")
        text = text.replace(old, new)
    return text


def _part(path, name, part, text):
    combined = []
    for line in part["cells"]:
        datasets, models, seeds = (word.split(",") for word in line.split())
        combined += itertools.product(datasets, models, map(int, seeds))
    return Part(tuple(combined), tuple(_commands(path, name, text)))


def _commands(path, name, text):
    joined = []
    for line in text.splitlines():
        if line.startswith(" ") and joined:
            joined[-1] += line
        elif line.strip():
            joined.append(line)
    for line in joined:
        script, *options = shlex.split(line)
        if not (SCRIPTS / f"{script}.py").is_file():
            raise ValueError(f"{path}: {name} runs {script!r}, expected the name of a script as dare/1_train")
        yield script, options
