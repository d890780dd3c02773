"""Claim 5: most images can be attacked only into similar classes; without the most similar one a class is more robust.

Reads the row that 1_attack.py made of --method; retrains that method twice as its run did, on the data set without the
class that its worst class is attacked into most, and as a control without the one it is attacked into least; writes
<runs>/classwise/<dataset>-<model>/seed<k>/retrained-<method>-<class>-without-<class>/: history/, flags.h5, row.json.
"""

try:
    from pipeline import command, run_directory
except ModuleNotFoundError as error:  # another Python than that of the environment
    raise SystemExit(f"no module {error.name}: run it with .venv/bin/python (make quick makes it)") from None

import argparse
from collections.abc import Iterator, Mapping
import re

import numpy

import data
from data import files
from studies.classwise import attack, claims, claims_of_changes, rows
from studies.robust_training import retrain, trained_models
from train import robust


def main(arguments: argparse.Namespace) -> None:
    before, alike, inputs = attack.attacked(arguments)
    for without, removal in left_out(before, arguments.method):
        train(alike, before, without, removal, inputs)
    claims.show(claims_of_changes.similar(rows.of_cell(arguments)))


def left_out(before: Mapping, method: str) -> Iterator[tuple[int, dict]]:
    """(label of the class that is left out, what the row says of it), twice: the class that the worst class is attacked
    into most, and the one that it is attacked into least."""
    name = rows.worst(before)
    watched = rows.divided(before["measures"][name]).worst
    into = numpy.array(before["confusion"][name][watched], float)
    into[watched] = numpy.nan
    most = int(numpy.nanargmax(into))
    into[most] = numpy.nan
    for without, why in ((most, "most"), (int(numpy.nanargmin(into)), "least")):
        classes = before["classes"]
        yield without, {"method": method, "watched": classes[watched], "without": classes[without], "why": why}


def stages(arguments: argparse.Namespace) -> list[str]:
    """The stages that these arguments ask for. Raises FileNotFoundError where --method was not attacked before."""
    before, _, _ = attack.attacked(arguments)
    return [f"retrained-{name_of(removal)}" for _, removal in left_out(before, arguments.method)]


def name_of(removal: dict) -> str:
    """The name of a retraining in folders and rows."""
    return "-".join((removal["method"], plain(removal["watched"]), "without", plain(removal["without"])))


def train(arguments: argparse.Namespace, before: Mapping, without: int, removal: dict, inputs: list[str]) -> None:
    """Retrain without one class, attack as before, and write the row. removal: that class, in the row."""
    method, name = arguments.method, name_of(removal)
    uses = attack.uses(arguments, method=robust.METHODS[method])
    stage = run_directory.begin(
        f"retrained-{name}", command.narrow(arguments, without=without), inputs=inputs, uses=uses
    )
    if stage is None:
        return
    record = run_directory.record(
        run_directory.folder(command.narrow(arguments, study="robust_training"), f"train-{method}")
    )
    settings = {name: record["arguments"][name] for name in ("images", "validation")}
    dataset = data.without_class(trained_models.reduced_dataset(command.narrow(arguments, **settings)), without)
    held_out = round(settings["validation"] * (1 - 1 / len(before["classes"])))
    split = data.holdout_split(dataset, arguments.seed, validation=held_out)
    model, facts = retrain.retrain(
        arguments,
        method,
        stage.folder,
        split,
        changed=robust.METHODS[method],
        note=f"train without {removal['without']}",
    )
    files.write_json(stage.folder / "facts.json", facts)
    about = {
        "method": name,
        "title": f"{before['title']}, without {removal['without']}",
        "role": "retrained",
        "hyperparameters": facts,
    }
    attack.score(arguments, stage, model, split, about=about, details={"retrained": removal}, epsilon=arguments.epsilon)


def plain(name: str) -> str:
    """The name of a class, fit for a folder."""
    return re.sub("[^A-Za-z0-9]+", "-", name)


def options() -> command.Parser:
    """The script's argument parser."""
    parser = command.parser(
        __doc__,
        study="classwise",
        example="--dataset fashion_mnist --model small_cnn@0.5 --method m+deat",
    )
    parser.set_defaults(model="small_cnn")
    known = command.name("method", robust.METHODS)
    parser.add_argument("--method", type=known, default="m+deat", help="trained and attacked before")
    return parser


if __name__ == "__main__":
    command.run(main, options())
