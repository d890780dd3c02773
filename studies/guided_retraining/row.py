"""The rows of guided retraining: a JSON file for each configuration and metric, with the whole curve.

The details of a row:

    configuration, metric   in RobOT's own retraining "robot" and the selector
    curves      for each seed a list with a dictionary for each prefix: inputs; accuracy, loss, precision and recall on
                "both", "clean" and "adversarial" test inputs; correct, which inputs of both, packed
                (adv.guided.retraining.flags_of; older rows lack it); seconds, peak memory, joules
    originals   the same measures of the original models
    rank        time, ties and APFD of the metric

The measures are on "both", in percent: best, inputs-to-best, inputs-to-99 (the fewest inputs that reach 99 % of the
best), area (under the curve, as a mean accuracy). With --attack-images also autoattack@<epsilon>, the accuracy of the
model with the best accuracy on clean test images under AutoAttack, and original-autoattack@<epsilon>; the detail
"attacked" has a dictionary for each attacked prefix. RobOT's rows also have anew, the accuracy of the model with the
best accuracy on test images that RobOT's attacks make on that model. Under AutoAttack the checks of that attack
(adv.evaluation) stand beside those of the original model's predictions.
"""

import argparse
import dataclasses
from collections.abc import Mapping, Sequence

import numpy

from adv.guided import configuration, inputs, ordering, retraining, robot
from pipeline import command, run_directory
from pipeline.run_directory import Stage
from reporting import measures as of_measures
from reporting import published
from reporting import row as result_row
from studies.guided_retraining import cell as guided_cell

ROBOT = "robot"  # the configuration of RobOT's own retraining
MEASURES = ("best", "inputs-to-best", "inputs-to-99", "area")


def summary(curve: list[dict], part: str = "both") -> dict[str, float]:
    """The measures of one curve, on a part of the test inputs: name -> number."""
    counts = numpy.array([point["inputs"] for point in curve], float)
    accuracy = 100 * numpy.array([point[part]["accuracy"] for point in curve])
    best = int(accuracy.argmax())
    enough = int(numpy.flatnonzero(accuracy >= 0.99 * accuracy[best])[0])
    area = accuracy[0]
    if len(curve) > 1:
        area = numpy.trapezoid(accuracy, counts) / (counts[-1] - counts[0])
    values = accuracy[best], counts[best], counts[enough], area
    return {name: float(value) for name, value in zip(MEASURES, values, strict=True)}


def write(
    arguments: argparse.Namespace,
    stage: Stage,
    name: str,
    metric: str,
    original: dict,
    curve: list[dict],
    *,
    robust: dict | None = None,
    anchor: dict | None = None,
) -> result_row.Row:
    """Write row-<configuration>-<metric>.json into the stage's folder. Returns the row.

    name: of the configuration
    original: measures of the original model
    curve: a dictionary for each prefix, in any order
    robust: inputs of a prefix -> result of worker.attack, the best prefix among them (None: not attacked)
    anchor: the result on the original model
    """
    trained = run_directory.record(run_directory.folder(arguments, "train"))
    adversarial = run_directory.record(run_directory.folder(arguments, "inputs"))
    ranked = run_directory.record(run_directory.folder(arguments, "rank"))
    chosen, curve = configuration.CONFIGURATIONS[name], sorted(curve, key=lambda point: point["inputs"])
    recipe = guided_cell.recipe_of(command.narrow(arguments, epochs=trained["arguments"]["epochs"]))
    best = published.guided_best(arguments.dataset, name, metric)
    at_best = robust and robust[best_point(curve, "both")["inputs"]]
    row = result_row.of_stage(
        stage,
        study="guided_retraining",
        dataset=arguments.dataset,
        method=f"{name}-{metric}",
        title=f"{ordering.METRICS[metric].title}; {chosen.title}",
        role="control" if metric == "random" else "method",
        verified=trained["verified"],
        hyperparameters={
            **_trained_with(trained, recipe),
            "profile": adversarial["arguments"]["profile"],
            "duplicate_fgsm": adversarial["arguments"]["duplicate_fgsm"],
            "epsilon": inputs.EPSILON,
            "prefixes": len(curve),
        },
        measures=_measures([summary(curve)], best, adversarial["counts"]["test"] + trained["counts"][2])
        | (_robust(at_best, anchor) if at_best else {}),
        checks=_checks(trained, at_best),
        attacks=anchor["attacks"] if robust else {},
        details={
            "configuration": name,
            "metric": metric,
            "curves": [curve],
            "originals": [original],
            "attacked": [[{"inputs": count, **each["robust"]} for count, each in sorted((robust or {}).items())]],
            "rank": [ranked["metrics"][metric] | {"forward_s": ranked["forward_s"], "inputs": ranked["inputs_ranked"]}],
        },
    )
    result_row.save(row, stage.folder / f"row-{name}-{metric}.json")
    return row


def _trained_with(trained, recipe):
    """The hyper-parameters of every retraining of a cell."""
    counts, enlarged = trained["counts"], trained["arguments"].get("test_images") is not None
    sizes = {"images": trained["arguments"]["images"], "test_images": counts[2]}
    return {
        **(sizes if enlarged else {"images": sum(counts)}),
        "epochs": recipe.epochs,
        "optimizer": recipe.optimizer,
        "batch_size": recipe.batch_size,
        "gray": trained["arguments"]["gray"],
    }


def write_robot(
    arguments: argparse.Namespace,
    stage: Stage,
    selector: str,
    original: dict,
    curve: list[dict],
    *,
    epsilon: float,
    recipe: retraining.Recipe,
    pool: int,
    seconds: float,
    robust: dict | None = None,
    anchor: dict | None = None,
) -> result_row.Row:
    """Write row-robot-<selector>.json into the stage's folder. Returns the row; its measures are on "adversarial".

    pool: number of inputs of the pool, which another seed has not
    seconds: of FOL and the probabilities of the pool
    robust, anchor: results of AutoAttack on the best model and on the original (None: not attacked)
    Other arguments as write.
    """
    trained = run_directory.record(run_directory.folder(arguments, "train"))
    curve, tests = sorted(curve, key=lambda point: point["inputs"]), len(robot.ATTACKS) * trained["counts"][2]
    row = result_row.of_stage(
        stage,
        study="guided_retraining",
        dataset=arguments.dataset,
        method=f"{ROBOT}-{selector}",
        title=f"{selector}; RobOT's retraining on all training images and the selected inputs",
        role="control" if selector == "random" else "method",
        verified=trained["verified"],
        hyperparameters={**_trained_with(trained, recipe), "epsilon": epsilon, "prefixes": len(curve)},
        measures=_measures([summary(curve, "adversarial")], None, tests)
        | {"anew": of_measures.measure([100 * best_point(curve, "adversarial")["anew"]], tests)}
        | (_robust(robust, anchor) if robust else {}),
        checks=_checks(trained, robust),
        attacks={name: {"steps": steps, "rel_stepsize": size} for name, (steps, size) in robot.ATTACKS.items()}
        | (robust["attacks"] if robust else {}),
        details={
            "configuration": ROBOT,
            "metric": selector,
            "curves": [curve],
            "originals": [original],
            "rank": [
                {"seconds": seconds, "ties": 0, "apfd": None, "warnings": [], "forward_s": seconds, "inputs": pool}
            ],
        },
    )
    result_row.save(row, stage.folder / f"row-{ROBOT}-{selector}.json")
    return row


def _checks(trained, robust):
    """The checks of the original model's answers, and those of AutoAttack on the best model, if it was attacked."""
    return [*trained.get("checks", []), *robust["checks"]] if robust else trained.get("checks")


def best_point(curve: Sequence[dict], part: str) -> dict:
    """The point of a curve with the highest accuracy on a part."""
    return max(curve, key=lambda point: point[part]["accuracy"])


def _measures(summaries, best, n):
    """name -> measure, from the summaries of one or more curves, with the published best and its inputs."""
    beside = {"best": best and best[0], "inputs-to-best": best and best[1]}
    return {name: of_measures.measure([each[name] for each in summaries], n, beside.get(name)) for name in MEASURES}


def _robust(robust, anchor):
    """The accuracies under AutoAttack as measures, of the best prefix and of the original model."""
    n, size = robust["robust"]["total"], f"autoattack@{robust['epsilon']:g}"
    shares = {size: robust["robust"], f"original-{size}": anchor["robust"]}
    return {name: of_measures.measure([100 * share["value"]], n, None) for name, share in shares.items()}


def _settings(row):
    """The hyper-parameters; older rows have the size of RobOT's pool among them, which each seed has its own of."""
    return {name: value for name, value in row["hyperparameters"].items() if name != "pool"}


def pool(rows: Sequence[Mapping]) -> result_row.Row:
    """One row for several seeds. Raises ValueError if they were made differently."""
    lists = dict.fromkeys(("curves", "originals", "rank", "attacked"), of_measures.together)
    pooled, first = result_row.pool(rows, alike=_settings, details=lists), rows[0]["measures"]
    best = first["best"]["published"], first["inputs-to-best"]["published"]
    part = "adversarial" if rows[0]["configuration"] == ROBOT else "both"
    measures = _measures([summary(curve, part) for curve in pooled["curves"]], best, first["best"]["n"])
    return dataclasses.replace(pooled, measures={**pooled["measures"], **measures})
