"""Claim 7: changes in training and in inference lift the worst class. The levers are ours.

Takes the selected epoch of --method and changes it on its held-out images alone: the last layer's norms (tau) or its
bias, chosen under attack; or retrains it with class weights, radii or, of TRADES and MART, betas from each class's
held-out robust accuracy. Writes <runs>/classwise/<dataset>-<model>/seed<k>/lever-<method>-<lever>/: flags.h5, row.json.
"""

try:
    from pipeline import command, run_directory
    from pipeline.progress import Progress
except ModuleNotFoundError as error:  # another Python than that of the environment
    raise SystemExit(f"no module {error.name}: run it with .venv/bin/python (make quick makes it)") from None

import argparse
import dataclasses

from adv import attacks, evaluate, levers
import data
from studies.classwise import attack, claims, claims_of_changes, models_to_attack, rows
from studies.robust_training import retrain
from train import robust

CHOSEN_BY = attacks.PGD(steps=10, rel_stepsize=0.25, random_start=True)
INFERENCE = {"tau": levers.choose_tau, "bias": levers.choose_bias}
TITLES = {
    "tau": "weight vectors of the classes brought nearer to one norm",
    "bias": "bias of each class's logit",
    "weight": "trained with more weight on weak classes",
    "epsilon": "trained with smaller perturbations of weak classes",
    "beta": "trained with a smaller beta of weak classes",
}


ABLE = {name: method for name, method in robust.METHODS.items() if hasattr(method.strategy, "factors")}


def main(arguments: argparse.Namespace) -> None:
    arguments = command.narrow(arguments, method=method_of(arguments))
    _, alike, inputs = attack.attacked(arguments)
    for name in arguments.lever:
        pull(command.narrow(alike, lever=name), name, inputs)
    claims.show(claims_of_changes.levers(rows.of_cell(arguments)))


def method_of(arguments: argparse.Namespace) -> str:
    """--method, or else one that was attacked and can be trained by class. Raises FileNotFoundError where none is."""
    if arguments.method:
        return arguments.method
    attacked = [name for name in ABLE if run_directory.finished(run_directory.folder(arguments, f"attack-{name}"))]
    if not attacked:
        raise FileNotFoundError(
            f"{run_directory.folder(arguments, 'attack-*')}: no attacked method can be trained by class: make one with "
            "scripts/robust_training/1_train.py --method pgd-7 and scripts/classwise/1_attack.py"
        )
    return "pgd-7" if "pgd-7" in attacked else attacked[0]


def pull(arguments: argparse.Namespace, name: str, inputs: list[str]) -> None:
    """One stage: apply a lever to the attacked method, attack it again, and write its row."""
    method = arguments.method
    lever = INFERENCE.get(name, robust.from_accuracy)
    uses = attack.uses(arguments, lever=lever, chosen_by=CHOSEN_BY, method=robust.METHODS[method])
    stage = run_directory.begin(f"lever-{method}-{name}", arguments, inputs=inputs, uses=uses)
    if stage is None:
        return
    epsilon = arguments.epsilon
    model, split = models_to_attack.selected(command.narrow(arguments, study="robust_training"), method)
    held_out = data.to_unit(split.x_validation), split.y_validation
    if name in INFERENCE:
        with Progress(f"choose {name}", arguments.quiet) as progress:
            choice = INFERENCE[name](model, *held_out, CHOSEN_BY, epsilon=epsilon, progress=progress)
        facts = {name: choice.value, "tried": [list(trial) for trial in choice.tried]}
    else:
        flags = evaluate.robust_flags(model, *held_out, CHOSEN_BY, epsilon=epsilon)
        accuracy = evaluate.class_wise(flags, split.y_validation, classes=len(split.classes)).share
        factors = robust.from_accuracy(name, accuracy, strength=arguments.strength)
        base = robust.METHODS[method]
        changed = dataclasses.replace(base, strategy=dataclasses.replace(base.strategy, factors=factors))
        model, facts = retrain.retrain(arguments, method, stage.folder, split, changed=changed, note=f"train {name}")
        facts |= {"strength": arguments.strength, "factors": getattr(factors, name)}
    about = {
        "method": f"{method}-{name}",
        "title": f"{robust.METHODS[method].title}, {TITLES[name]}",
        "role": "lever",
        "hyperparameters": facts,
    }
    details = {"lever": {"of": method, "name": name}}
    attack.score(arguments, stage, model, split, about=about, details=details, epsilon=epsilon)


def stages(arguments: argparse.Namespace) -> list[str]:
    """The stages that these arguments ask for."""
    return [f"lever-{method_of(arguments)}-{name}" for name in arguments.lever]


def options() -> command.Parser:
    """The script's argument parser."""
    parser = command.parser(
        __doc__,
        study="classwise",
        example="--dataset fashion_mnist --model small_cnn@0.5 --method pgd-7 --lever tau",
    )
    parser.set_defaults(model="small_cnn")
    known = command.name("method that can be trained by class", ABLE)
    before = "of robust training; trained and attacked before (default: pgd-7, or another that was)"
    parser.add_argument("--method", type=known, help=before)
    parser.add_argument(
        "--lever",
        nargs="+",
        choices=list(TITLES),
        default=["tau", "bias", "weight", "epsilon"],
        help="changes to try, one after the other",
    )
    parser.add_argument(
        "--strength", type=command.real(), default=2.0, help="of the factors (train.robust.from_accuracy)"
    )
    trained = [name for name in TITLES if name not in INFERENCE]
    parser.needs(["--strength"], lambda arguments: {*arguments.lever} & {*trained}, f"--lever {' or '.join(trained)}")
    return parser


if __name__ == "__main__":
    command.run(main, options())
