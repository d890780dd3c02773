"""Claim 5: most images can be attacked only into similar classes; without the most similar one a class is more robust.

Reads the row that 1_attack.py made of --method; retrains that method twice as its run did, on the data set without the
class that its worst class is attacked into most, and as a control without the one it is attacked into least; writes
<runs>/classwise/<dataset>-<model>/seed<k>/retrained-<method>-without-<class>/: history/, flags.h5, row.json.
"""

import json

import numpy

from results import command, per_class, per_class_claims, per_class_row, per_class_step, retrain, run, trained
import data
from data import files
from train import robust


def main(arguments):
    path = run.folder(arguments, f"attack-{arguments.method}") / "row.json"
    run.record(path.parent)
    before = json.loads(path.read_text(encoding="utf-8"))
    name = per_class.worst(before)
    watched = per_class.divided(before["measures"][name]).worst
    into = numpy.array(before["confusion"][name][watched], float)
    into[watched] = numpy.nan
    for without, why in (
        (int(numpy.nanargmax(into)), "the class it is attacked into most"),
        (int(numpy.nanargmin(into)), "control: the class it is attacked into least"),
    ):
        about = {name: before["classes"][place] for name, place in (("watched", watched), ("without", without))}
        train(arguments, before, without, {"method": arguments.method, **about, "why": why})
    per_class_step.show(per_class_claims.similar(per_class_step.rows(arguments)))


def train(arguments, before, without, told):
    """Retrain without one class, attack, and write the row. told: what the row says of it."""
    method, narrowed = arguments.method, command.narrow(arguments, without=without)
    safe = "".join(one if one.isalnum() else "-" for one in told["without"])
    stage = run.begin(f"retrained-{method}-without-{safe}", narrowed, inputs=[f"attack-{method}"])
    if stage is None:
        return
    made = run.record(run.folder(command.narrow(arguments, study="robust_training"), f"train-{method}"))
    settings = {name: made["arguments"][name] for name in ("images", "validation")}
    dataset = data.without_class(trained.reduced_dataset(command.narrow(arguments, **settings)), without)
    held_out = round(settings["validation"] * (1 - 1 / len(before["classes"])))
    split = data.holdout_split(dataset, arguments.seed, validation=held_out)
    model, facts = retrain.retrain(
        arguments, method, stage.folder, split, changed=robust.METHODS[method], note=f"train without {told['without']}"
    )
    files.write_json(stage.folder / "facts.json", facts)
    about = {
        "method": f"{method}-without-{safe}",
        "title": f"{before['title']}, without {told['without']}",
        "role": "retrained",
        "retrained": told,
        "hyperparameters": facts,
    }
    per_class_row.score(arguments, stage, model, split, about=about, epsilon=before["hyperparameters"]["epsilon"])


def options():
    """The script's argument parser."""
    parser = command.parser(__doc__, study="classwise")
    per_class_row.add_options(parser)
    known = command.name("method", robust.METHODS)
    parser.add_argument(
        "--method", type=known, default="m+deat", help="of robust training; trained and attacked before"
    )
    return parser


if __name__ == "__main__":
    command.run(main, options())
