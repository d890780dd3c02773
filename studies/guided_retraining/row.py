"""The rows of guided retraining: one JSON file a configuration and metric, with the whole curve.

A row has "curve": a dictionary a prefix (inputs; accuracy, loss, precision and recall of "both", "clean" and
"adversarial" test inputs; seconds, peak memory, joules), a list of such lists where seeds are pooled; "original": the
same measures of the original model; "rank": what the metric took and found. Its measures are of "both", in percent:
best, inputs-to-best, inputs-to-99 (the fewest that reach 99 % of the best), area (under the curve, as a mean accuracy).
"""

import numpy

from adv.guided import configuration, inputs, ordering
from data import files
from pipeline import command, lineage, provenance, run_directory
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
    row = {
        "study": "guided_retraining",
        "dataset": arguments.dataset,
        "model": arguments.model,
        "method": f"{name}-{metric}",
        "title": f"{ordering.METRICS[metric].title}; {chosen.title}",
        "role": "control" if metric == "random" else "method",
        "configuration": name,
        "metric": metric,
        "verified": cell["verified"],
        "hyperparameters": {
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
        "seeds": [arguments.seed],
        "repeats": 1,
        "measures": _measures([summary(curve)], best, made["counts"]["test"] + cell["counts"][2]),
        "curves": [curve],
        "originals": [original],
        "rank": [ranked["metrics"][metric] | {"forward_s": ranked["forward_s"], "inputs": ranked["inputs_ranked"]}],
        "checks": cell.get("checks", []),  # of the original model
        "attacks": {},
        **lineage.of(stage),
    }
    files.write_json(stage.folder / f"row-{name}-{metric}.json", row)
    return row


def _measures(found, best, n):
    """name -> measure of the summaries of one curve or more, with the published best and its inputs beside them."""
    beside = {"best": best and best[0], "inputs-to-best": best and best[1]}
    made = {}
    for name in MEASURES:
        values = [one[name] for one in found]
        made[name] = {
            "value": round(float(numpy.mean(values)), 2),
            "n": n,
            "values": [round(value, 2) for value in values],
            "spread": round(float(numpy.std(values, ddof=1)), 2) if len(values) > 1 else None,
            "published": beside.get(name),
        }
    return made


def pool(rows):
    """One row for several seeds. Raises ValueError where they were made differently."""
    first = rows[0]
    for one in rows[1:]:
        if one["hyperparameters"] != first["hyperparameters"]:
            raise ValueError(f"{first['method']}: seeds {first['seeds']} and {one['seeds']} were made differently")
    lists = {name: [one for row in rows for one in row[name]] for name in ("curves", "originals", "rank", "seeds")}
    best = first["measures"]["best"]["published"], first["measures"]["inputs-to-best"]["published"]
    made = _measures([summary(curve) for curve in lists["curves"]], best, first["measures"]["best"]["n"])
    origins = [one for row in rows for one in result_row.origins(row)]
    flags = {
        "verified": all(row["verified"] for row in rows),
        "dirty": provenance.any_dirty([row.get("dirty") for row in rows]),
        "checks": result_row.checks([row["checks"] for row in rows]),
    }
    return {**first, **lists, **flags, "measures": made, "origins": origins}
