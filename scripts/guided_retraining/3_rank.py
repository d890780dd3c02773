"""Score every training input, clean and adversarial, by every metric, with the original model and one pass over each.

Reads train/ and inputs/; writes rank/scores.h5, and into run.json each metric's seconds, ties and APFD, the failures
being the inputs that the original model misclassifies.
"""

try:
    from pipeline import command, run_directory
    from pipeline.progress import Progress
except ModuleNotFoundError as error:  # another Python than that of the environment
    raise SystemExit(f"no module {error.name}: run it with .venv/bin/python (make quick makes it)") from None

import argparse
import time
import warnings

import numpy

from adv.guided import ordering, retraining
from studies.guided_retraining import cell as guided_cell


def main(arguments: argparse.Namespace) -> None:
    arguments = command.narrow(arguments, model=guided_cell.net_of(arguments))
    stage = run_directory.begin("rank", arguments, inputs=["train", "inputs"], uses={"metric": ordering.METRICS})
    if stage is None:
        return
    cell = guided_cell.load(arguments)
    adversarial = guided_cell.inputs(arguments, cell)
    started_at = time.perf_counter()
    clean, attacked = (
        retraining.traces(cell.model, images) for images in (cell.split.x_train, adversarial.images["train"])
    )
    activations, classes, probabilities = (numpy.concatenate(both) for both in zip(clean, attacked, strict=True))
    forward = time.perf_counter() - started_at
    labels = numpy.concatenate([cell.split.y_train, adversarial.labels["train"]])
    started_at = time.perf_counter()
    loss = guided_cell.fol_of_pool(cell, adversarial)
    fol_seconds = time.perf_counter() - started_at
    context = ordering.Context(clean[0], clean[1], activations, classes, probabilities, loss, seed=arguments.seed)
    scores, facts = {}, {}
    with Progress("rank", arguments.quiet) as progress:
        for place, (name, metric) in enumerate(ordering.METRICS.items(), start=1):
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                started_at = time.perf_counter()
                scores[name] = metric.score(context)
                seconds = time.perf_counter() - started_at
            failed, order = classes != labels, metric.arrange(scores[name], arguments.seed)
            facts[name] = {
                "seconds": round(seconds, 3),
                "ties": ordering.ties(scores[name]),
                "apfd": round(ordering.apfd(order, failed), 5) if failed.any() else None,
                "warnings": [str(warning.message) for warning in caught],
            }
            progress(place, len(ordering.METRICS), name)
    guided_cell.save_scores(stage.folder / "scores.h5", scores, cell)
    run_directory.finish(
        stage, forward_s=round(forward, 3), fol_s=round(fol_seconds, 3), metrics=facts, failures=int(failed.sum()),
        inputs_ranked=len(labels), tie_rule=ordering.TIES, layer=retraining.last_hidden(cell.model).name,
    )  # fmt: skip
    counts = f"{len(labels)} inputs, {failed.sum()} of them misclassified"
    print(f"rank: {counts}, forward passes {forward:.2f} s, FOL {fol_seconds:.2f} s ({stage.folder})")
    for name, metric_facts in facts.items():
        apfd = "-" if metric_facts["apfd"] is None else f"{metric_facts['apfd']:.3f}"
        print(f"rank {name}: {metric_facts['seconds']:.2f} s, {metric_facts['ties']} ties, APFD {apfd}")
        for warning in metric_facts["warnings"]:
            print(f"rank {name}: {warning}")


def stages(arguments: argparse.Namespace) -> list[str]:
    """The stages that these arguments ask for."""
    return ["rank"]


def options() -> command.Parser:
    """The script's argument parser."""
    return guided_cell.parser(__doc__, "--dataset mnist")


if __name__ == "__main__":
    command.run(main, options())
