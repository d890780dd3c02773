"""Attack every robustly trained model on the test images, its selected epoch and its last; write one row a method.

Reads train-<method>/ (whatever is finished); writes test-<method>/flags-<epoch>.h5 and row.json. Each attack runs on
the images that the earlier ones left correctly classified, so `worst` is the robust accuracy; checks that are raised
(docs/checks.md) are printed and stored in the row.
"""

from __future__ import annotations  # its types load no library (pipeline/late.py)

try:
    from pipeline import command, resolved, run_directory
except ModuleNotFoundError as error:  # another Python than that of the environment
    raise SystemExit(f"no module {error.name}: run it with .venv/bin/python (make quick makes it)") from None

import argparse

import numpy

from adv import attacks, autoattack, checks
from dare.flags import Flags
import data
from reporting import measures as of_measures
from reporting import published, row
from studies import tested
from studies.robust_training import tables, trained_models
from train import robust
from train.history import History
from train.seeds import stream

LINF = {name: attack for name, attack in attacks.ATTACKS.items() if attack.norm == "linf"}
LINF["autoattack"] = autoattack.AutoAttack()  # not in the catalogue: it has no closest adversarials
EVALUATION = ["pgd-20", "pgd-100", "cw-linf-20", "apgd-ce", "apgd-t"]


def main(arguments: argparse.Namespace) -> None:
    names = chosen_methods(arguments)
    for name in names:
        own, uses = (
            command.narrow(arguments, method=name),
            {"attack": {attack: LINF[attack] for attack in arguments.attack}},
        )
        stage = run_directory.begin(f"test-{name}", own, inputs=[f"train-{name}"], uses=uses)
        if stage is not None:
            measure(arguments, stage, name)


def chosen_methods(arguments: argparse.Namespace) -> list[str]:
    """The methods that were asked for, or all that have been trained. Raises FileNotFoundError where none has."""
    finished = trained_models.finished(arguments)
    if not finished:
        raise FileNotFoundError(
            f"{run_directory.folder(arguments, 'train-*')}: none finished; "
            "make them with scripts/robust_training/1_train.py"
        )
    return arguments.method or finished


def stages(arguments: argparse.Namespace) -> list[str]:
    """The stages that these arguments ask for, of what has been trained so far."""
    return [f"test-{name}" for name in chosen_methods(arguments)]


def measure(arguments: argparse.Namespace, stage: run_directory.Stage, name: str) -> None:
    """Test the selected and the last epoch of a method, and write its row."""
    split, history, record = trained_models.robust(arguments, name)
    model = trained_models.robust_model(
        arguments, split, record["setup"].get("standardised", True)
    )  # float32, also of bfloat16
    epsilon = arguments.epsilon or record["setup"]["epsilon"]
    order = stream(arguments.seed, "test images").permutation(len(split.x_test))
    chosen = {name: LINF[name] for name in arguments.attack}
    how = {"quiet": arguments.quiet, "checked": order[: checks.IMAGES], "epsilons": [epsilon], "white_box": chosen}
    how |= {"rows": numpy.sort(order[: arguments.test_images])}
    flags_of = {}
    for which, epoch in {"selected": record["selected"], "last": history.last}.items():
        history.load_weights(model, epoch)
        path, note = stage.folder / f"flags-{epoch}.h5", f"test {name}, epoch {epoch}"
        flags_of[which] = tested.test_and_keep(path, model, split, note=note, **how)
    write_row(arguments, stage, name, split, history, record, epsilon, chosen, flags_of)


def write_row(
    arguments: argparse.Namespace,
    stage: run_directory.Stage,
    name: str,
    split: data.Split,
    history: History,
    record: dict,
    epsilon: float,
    chosen: dict,
    flags_of: dict[str, Flags],
) -> None:
    """row.json: the selected epoch's measures by their names, the last epoch's under "last/"."""
    method = robust.METHODS[name]
    compared = None if steps(record["arguments"]) else method.published
    used = record["uses"]["method"] if "uses" in record else resolved.resolved(method)  # as trained, whatever it is now
    probed = min(record["arguments"]["probe_images"], len(split.x_validation))
    measures = {}
    for which, prefix in (("selected", ""), ("last", "last/")):
        for measure, correct in flags_of[which].correct.items():
            epochs = record["last"] if which == "last" else None  # the baseline's values are of its last epoch
            recipe = epochs, record["arguments"]["setup"]
            value = published.robust(split.name, arguments.model, compared, measure, epsilon, *recipe)
            measures[prefix + measure] = of_measures.share([correct], value)
    epochs = [history.record(epoch)[2] for epoch in history.epochs]
    trajectory = (
        "bp_epochs",
        "steps",
        "probe_clean",
        "probe_robust",
        "probe_magnitude",
        "probe_lipschitz",
        "magnitude",
    )
    trajectories = {part: [round(metrics[part], 5) for metrics in epochs] for part in trajectory}
    trajectories["probe_learnt"] = [metrics.get("probe_learnt", 1.0) for metrics in epochs]
    result = row.of_stage(
        stage,
        study="robust_training",
        dataset=split.name,
        method=name,
        title=method.title,
        role="control" if name == "standard" else "method",
        verified=split.verified,
        hyperparameters={
            "epsilon": epsilon,
            "images": len(split.x_train),
            "validation": len(split.x_validation),
            "selected_epoch": record["selected"],
            "last_epoch": record["last"],
            "bp_epochs": round(record["bp_epochs"], 2),
            "stopped": record["stopped"],
            "setup": record["setup"] | length(method, record["arguments"]),
            **steps(record["arguments"]),
            **({"learning_rates": record["learning_rates"]} if record.get("learning_rates") else {}),
            "precision": record["arguments"]["precision"],
            "attack_mode": used.get("strategy", {}).get("attack_mode", "train"),
            "batch_norm": "eval",
            "selected_by": f"{used['select']}, {probed} held-out images",
        },
        measures=measures,
        checks=row.checks([flags.checks for flags in flags_of.values()]),
        attacks={
            f"white-box/{name}": attack.specification() | {"epsilons": [epsilon]} for name, attack in chosen.items()
        },
        details={
            "trajectories": [{"seed": arguments.seed, **trajectories}],
            "training_s": [record["training_s"]],
            "probe_s": [record["probe_s"]],
        },
    )
    row.save(result, stage.folder / "row.json")
    run_directory.finish(stage)
    for what, both in (("clean", tables.clean(result)), ("worst case", tables.worst_case(result))):
        best, last = (each["value"] for each in both)
        where = f" ({stage.folder})" if what == "worst case" else ""
        print(f"test {name}: {what}: best {best:.1f} %, last {last:.1f} %, best - last {best - last:.1f}{where}")
    print(f"test {name}: {row.raised(result.checks) or f'checks: all {len(result.checks)} passed'}")


def steps(arguments: dict) -> dict[str, int]:
    """The number of attack steps, where it was not the method's own."""
    return {"attack_steps": arguments["steps"]} if arguments.get("steps") else {}


def length(method: robust.Method, arguments: dict) -> dict:
    """How long training was asked to be: epochs, or a budget of BP-epochs."""
    if arguments["bp_epochs"]:
        return {"epochs": None, "bp_epochs": arguments["bp_epochs"]}
    epochs = arguments["epochs"] or method.epochs(robust.setup_of(arguments["setup"], arguments["model"]))
    return {"epochs": epochs, "bp_epochs": None}


def options() -> command.Parser:
    """The script's argument parser."""
    parser = command.parser(
        __doc__,
        study="robust_training",
        example="--dataset fashion_mnist --model small_cnn --test-images 500",
    )
    parser.set_defaults(model="preact_resnet18")
    known = command.name("method", robust.METHODS)
    parser.add_argument("--method", nargs="+", type=known, help="which models (default: all that are trained)")
    parser.add_argument(
        "--attack",
        nargs="+",
        type=command.name("attack in Linf", LINF),
        default=EVALUATION,
        help="run in this order, each on the images that are still classified correctly",
    )
    parser.add_argument("--test-images", type=command.whole(1), default=10_000, help="test images attacked")
    parser.add_argument("--epsilon", type=command.real(above=0, most=1), help="Linf radius (default: that of training)")
    return parser


if __name__ == "__main__":
    command.run(main, options())
