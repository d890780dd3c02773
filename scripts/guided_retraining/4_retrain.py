"""Retrain one model a prefix of every order, in every configuration, and measure it on clean and adversarial inputs.

Reads train/, inputs/ and rank/; writes retrain/<configuration>-<metric>-<inputs>.json as each model is done, and at the
end row-<configuration>-<metric>.json. Killed, it continues with the next model; --workers trains several at once.
"""

try:
    from pipeline import command, run_directory, signals
    from pipeline.progress import Progress
except ModuleNotFoundError as error:  # another Python than that of the environment
    raise SystemExit(f"no module {error.name}: run it with .venv/bin/python (make quick makes it)") from None

import argparse
from collections.abc import Iterator
import concurrent.futures
import dataclasses
import pathlib

import numpy

from adv.guided import configuration, ordering
from data import files
from studies.guided_retraining import cell, worker
from studies.guided_retraining import row as guided_row


def main(arguments: argparse.Namespace) -> None:
    arguments = command.narrow(arguments, model=cell.net_of(arguments))
    workers, narrowed = arguments.workers, command.narrow(arguments, workers=None)
    for name in ("train", "inputs", "rank"):
        run_directory.record(run_directory.folder(arguments, name))
    jobs = plan(arguments)
    stage = run_directory.begin("retrain", narrowed, inputs=["train", "inputs", "rank"], uses=uses(arguments))
    if stage is None:
        return
    unfinished = [job for job in jobs if not path_of(stage, *job).is_file()]
    settings = vars(narrowed)
    with Progress("retrain", arguments.quiet) as progress:
        done = len(jobs) - len(unfinished)
        for job in finished(unfinished, stage, settings, workers):
            done += 1
            progress(done, len(jobs), "-".join(map(str, job)))
    if not unfinished:
        worker.prepare(settings)
    original = worker.original()
    curves = {}
    for name, metric, count in jobs:
        curves.setdefault((name, metric), []).append(files.read_sealed(path_of(stage, name, metric, count)))
    robust = attacked(arguments, stage, curves) if arguments.attack_images else {}
    rows = [
        guided_row.write(
            arguments, stage, *key, original, curve, robust=robust.get(key), anchor=robust.get("original", {}).get(0)
        )
        for key, curve in curves.items()
    ]
    run_directory.finish(stage, original=original)
    for row in rows:
        best = row["measures"]["best"]["value"]
        print(
            f"retrain {row['method']}: best {best:.2f} % with {row['measures']['inputs-to-best']['value']:.0f} inputs"
        )
    print(f"retrain: original {100 * original['both']['accuracy']:.2f} %, {len(jobs)} models ({stage.folder})")


def uses(arguments: argparse.Namespace) -> dict:
    """The recipe of every training, and of each configuration what it starts from, takes, and how many at a step."""
    trained = run_directory.record(run_directory.folder(arguments, "train"))["arguments"]
    chosen = {name: configuration.CONFIGURATIONS[name] for name in arguments.configuration}
    own = {name: {arguments.dataset: definition.steps[arguments.dataset]} for name, definition in chosen.items()}
    return {
        "recipe": cell.recipe_of(command.narrow(arguments, epochs=trained["epochs"])),
        "configuration": {
            name: dataclasses.replace(definition, steps={} if arguments.prefixes else own[name])
            for name, definition in chosen.items()
        },
    }


def plan(arguments: argparse.Namespace) -> list[tuple[str, str, int]]:
    """(configuration, metric, inputs of the prefix) of every model, short prefixes first."""
    counts = run_directory.record(run_directory.folder(arguments, "train"))["counts"][0]
    adversarial = run_directory.record(run_directory.folder(arguments, "inputs"))["counts"]["train"]
    jobs = []
    for name in arguments.configuration:
        chosen = configuration.CONFIGURATIONS[name]
        total = adversarial + (counts if chosen.clean else 0)
        steps = {"step": chosen.steps[arguments.dataset]}
        size = {"count": arguments.prefixes} if arguments.prefixes else steps
        jobs += [(name, metric, end) for metric in arguments.metric for end in configuration.prefixes(total, **size)]
    return sorted(jobs, key=lambda job: job[2])


def attacked(arguments: argparse.Namespace, stage: run_directory.Stage, curves: dict) -> dict:
    """AutoAttack on the original model and on prefixes of every order: order -> {inputs: result}, the best among them.

    Beside the best prefix those of --attack-prefixes, from the shortest to the longest in equal steps.
    """
    chosen = {"original": {0}}
    for key, curve in curves.items():
        counts = sorted(point["inputs"] for point in curve)
        places = numpy.linspace(0, len(counts) - 1, min(arguments.attack_prefixes, len(counts))).round().astype(int)
        chosen[key] = {guided_row.best_point(curve, "both")["inputs"], *(counts[place] for place in places)}
    settings, results = {"images": arguments.attack_images, "epsilon": arguments.attack_epsilon}, {}
    for key, counts in chosen.items():
        for count in sorted(counts):
            job = ("original", "", 0) if key == "original" else (*key, count)
            path = stage.folder / "attacked" / f"{'original' if key == 'original' else '-'.join(map(str, job))}.json"
            with Progress(f"attack {path.stem}", arguments.quiet) as progress:
                results.setdefault(key, {})[count] = worker.attack(*job, path, **settings, progress=progress)
    return results


def path_of(stage: run_directory.Stage, name: str, metric: str, count: int) -> pathlib.Path:
    """The file of the measures of one model."""
    return stage.folder / f"{name}-{metric}-{count}.json"


def finished(
    jobs: list[tuple[str, str, int]], stage: run_directory.Stage, settings: dict, workers: int
) -> Iterator[tuple[str, str, int]]:
    """Run the jobs, each model in this process or in one of several; yields each when it is done."""
    if not jobs:
        return
    worker.prepare(settings)  # here in any case: faulty inputs are reported before any process begins
    if workers == 1:
        for job in jobs:
            worker.job(*job, path_of(stage, *job))
            yield job
        return
    pool = signals.pool(min(workers, len(jobs)), worker.prepare, settings, stage.folder)
    job_of = {pool.submit(worker.job, *job, path_of(stage, *job)): job for job in jobs}
    try:
        for future in concurrent.futures.as_completed(job_of):
            future.result()
            yield job_of[future]
    except concurrent.futures.process.BrokenProcessPool as error:
        raise OSError("a process that trained was ended from outside (out of memory?): use fewer --workers") from error
    finally:
        pool.shutdown(cancel_futures=True)


def stages(arguments: argparse.Namespace) -> list[str]:
    """The stages that these arguments ask for."""
    return ["retrain"]


def options() -> command.Parser:
    """The script's argument parser."""
    parser = cell.parser(__doc__, "--dataset mnist --metric dsa random --workers 2")
    known = list(configuration.CONFIGURATIONS)
    parser.add_argument("--configuration", nargs="+", choices=known, default=known, help="what is retrained on what")
    metric = command.name("metric", ordering.METRICS)
    published = [name for name, definition in ordering.METRICS.items() if not definition.ours]
    parser.add_argument("--metric", nargs="+", type=metric, default=published, help="what orders the inputs")
    parser.add_argument("--prefixes", type=command.whole(1), help="how many, of equal steps (default: published steps)")
    cell.add_attack(parser)
    parser.add_argument(
        "--attack-prefixes",
        type=command.whole(0),
        default=0,
        help="attacked beside the best: first to last of an order",
    )
    parser.add_argument("--workers", type=command.whole(1), default=1, help="models trained at once, a process each")
    return parser


if __name__ == "__main__":
    command.run(main, options())
