"""The rows of guided retraining: one JSON file a configuration and metric, with the whole curve.

Its details are "configuration" and "metric"; "curves": of each seed a dictionary a prefix (inputs; accuracy, loss,
precision and recall of "both", "clean" and "adversarial" test inputs; seconds, peak memory, joules); "originals": the
same measures of the original models; "rank": what the metric took and found. Its measures are of "both", in percent:
best, inputs-to-best, inputs-to-99 (the fewest that reach 99 % of the best), area (under the curve, as a mean accuracy).
"""

import dataclasses

import numpy

from adv.guided import configuration, inputs, ordering
from pipeline import command, run_directory
from reporting import measures as of_measures
from reporting import published
from reporting import row as result_row
from studies.guided_retraining import cell as guided_cell

MEASURES = ("best", "inputs-to-best", "inputs-to-99", "area")


def summary(curve):
    """The measures of one curve: name -> number."""
    counts = numpy.array([one["inputs"] for one in curve], float)
    accuracy = 100 * numpy.array([one["both"]["accuracy"] for one in curve])
    best = int(accuracy.argmax())
    enough = int(numpy.flatnonzero(accuracy >= 0.99 * accuracy[best])[0])
    area = accuracy[0]
    if len(curve) > 1:
        area = numpy.trapezoid(accuracy, counts) / (counts[-1] - counts[0])
    values = accuracy[best], counts[best], counts[enough], area
    return {name: float(value) for name, value in zip(MEASURES, values, strict=True)}


def write(arguments, stage, name, metric, original, curve):
    """row-<configuration>-<metric>.json in the stage's folder. Returns the row."""
    cell = run_directory.record(run_directory.folder(arguments, "train"))
    made = run_directory.record(run_directory.folder(arguments, "inputs"))
    ranked = run_directory.record(run_directory.folder(arguments, "rank"))
    chosen, curve = configuration.CONFIGURATIONS[name], sorted(curve, key=lambda one: one["inputs"])
    recipe = guided_cell.recipe_of(command.narrow(arguments, epochs=cell["arguments"]["epochs"]))
    best = published.guided_best(arguments.dataset, name, metric)
    row = result_row.of_stage(
        stage,
        study="guided_retraining",
        dataset=arguments.dataset,
        method=f"{name}-{metric}",
        title=f"{ordering.METRICS[metric].title}; {chosen.title}",
        role="control" if metric == "random" else "method",
        verified=cell["verified"],
        hyperparameters={
            "images": sum(cell["counts"]),
            "epochs": recipe.epochs,
            "optimizer": recipe.optimizer,
            "batch_size": recipe.batch_size,
            "profile": made["arguments"]["profile"],
            "duplicate_fgsm": made["arguments"]["duplicate_fgsm"],
            "epsilon": inputs.EPSILON,
            "prefixes": len(curve),
            "gray": cell["arguments"]["gray"],
        },
        measures=_measures([summary(curve)], best, made["counts"]["test"] + cell["counts"][2]),
        checks=cell.get("checks"),  # of the original model
        attacks={},
        details={
            "configuration": name,
            "metric": metric,
            "curves": [curve],
            "originals": [original],
            "rank": [ranked["metrics"][metric] | {"forward_s": ranked["forward_s"], "inputs": ranked["inputs_ranked"]}],
        },
    )
    result_row.save(row, stage.folder / f"row-{name}-{metric}.json")
    return row


def _measures(found, best, n):
    """name -> measure of the summaries of one curve or more, with the published best and its inputs beside them."""
    beside = {"best": best and best[0], "inputs-to-best": best and best[1]}
    return {name: of_measures.measure([one[name] for one in found], n, beside.get(name)) for name in MEASURES}


def pool(rows):
    """One row for several seeds. Raises ValueError where they were made differently."""
    lists = dict.fromkeys(("curves", "originals", "rank"), of_measures.together)
    made, first = result_row.pool(rows, alike=lambda row: row["hyperparameters"], details=lists), rows[0]["measures"]
    best = first["best"]["published"], first["inputs-to-best"]["published"]
    found = _measures([summary(curve) for curve in made["curves"]], best, first["best"]["n"])
    return dataclasses.replace(made, measures=found)
