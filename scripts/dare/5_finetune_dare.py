"""Improve the trained model: DARE, its variants, and the controls that tell what its scores mean.

Reads train/, slice/, get_ats/ and the validation part of one attack's adversarials, which alone chooses the learning
rate (so that the other attacks stay unseen); writes finetune_dare-<variant>/weights-<repeat>.weights.h5.
"""

try:
    from pipeline import command, run_directory
except ModuleNotFoundError as error:  # another Python than that of the environment
    raise SystemExit(f"no module {error.name}: run it with .venv/bin/python (make quick makes it)") from None

import argparse
from collections.abc import Iterator, Sequence
import dataclasses

from adv import attacks
from dare import controls, dare, get_ats
from studies.dare import other_seed as seeds_of_cell
from studies.dare import trained_cell, tuning_cell
from train import history as histories
from train import params

KNOWN = (*dare.VARIANTS, *controls.CONTROLS)
ONLY_BY_NAME = ("checkpoints",)  # a test of every checkpoint takes longer than that of all the others
NOISES = ("weight-noise", "logit-noise")


def main(arguments: argparse.Namespace) -> None:
    cell = None
    for name, by_name in chosen_variants(arguments.variant):
        reason = None if by_name or finished(arguments, name) else lacking(arguments, name)
        if reason:
            print(f"finetune_dare {name}: left out, {reason}")
            continue
        settings, inputs = narrow(arguments, name)
        stage = run_directory.begin(f"finetune_dare-{name}", settings, inputs=inputs, uses=uses(arguments, name))
        if stage is None:
            continue
        cell = cell or tuning_cell.Cell(arguments)
        weight_sets, facts = cell.variant(name, stage.folder) if name in dare.VARIANTS else cell.control(name, settings)
        copied = [cell.history.file(epoch, "weights") for epoch in facts.get("checkpoints", ())]
        repeats = 0
        for weights in weight_sets:
            cell.save(weights, stage.folder / f"weights-{repeats}.weights.h5", copied[repeats] if copied else None)
            repeats += 1
        run_directory.finish(stage, **facts)
        many = "1 repeat" if repeats == 1 else f"{repeats} repeats"
        rate = f", learning rate {facts['learning_rate']:g}" if "learning_rate" in facts else ""
        print(f"finetune_dare {name}: {many}{rate} ({stage.folder})")


def chosen_variants(names: Sequence[str]) -> Iterator[tuple[str, bool]]:
    """Yield (variant or control, whether it was asked for by name)."""
    for name in names:
        if name == "all":
            yield from ((known, False) for known in KNOWN if known not in ONLY_BY_NAME)
        else:
            yield name, True


def finished(arguments: argparse.Namespace, name: str) -> bool:
    """Whether the stage of a variant or control is finished."""
    return run_directory.finished(run_directory.folder(arguments, f"finetune_dare-{name}"))


def narrow(arguments: argparse.Namespace, name: str) -> tuple[argparse.Namespace, list[str]]:
    """(the arguments that a variant or control reads, the stages that it reads)."""
    settings = command.narrow(arguments, variant=name, draws=arguments.draws if name in NOISES else None)
    inputs = ["train", "slice", "get_ats", *(f"generate_adv-{attack}" for attack in arguments.choose_on)]
    if name == "other-seed":
        settings.other_seed = other_seed(arguments)
        inputs.append(f"../seed{settings.other_seed}/train")
    else:
        settings.other_seed = None
    if name in controls.CONTROLS and controls.CONTROLS[name].reads_dare:
        inputs.append("finetune_dare-dare")
    return settings, inputs


def uses(arguments: argparse.Namespace, name: str) -> dict:
    """The entry of a variant, with the learning rates of the command line, or of a control."""
    if name in controls.CONTROLS:
        return {"control": controls.CONTROLS[name]}
    variant = dare.VARIANTS[name]
    if arguments.learning_rates:
        variant = dataclasses.replace(variant, learning_rates=tuple(arguments.learning_rates))
    return {"variant": variant, "first layer tuned": params.first_tuned(arguments.model)}


def other_seed(arguments: argparse.Namespace) -> int:
    """--other-seed, or the one that the control was made with before, or the next one trained by the same recipe."""
    if arguments.other_seed is None and finished(arguments, "other-seed"):
        record = run_directory.record(run_directory.folder(arguments, "finetune_dare-other-seed"))
        return record["arguments"]["other_seed"]
    return seeds_of_cell.other(arguments, arguments.other_seed)


def lacking(arguments: argparse.Namespace, name: str) -> str | None:
    """What this cell lacks for a variant or control; None where it can be made."""
    if name == "other-seed":
        try:
            other_seed(arguments)
        except FileNotFoundError as error:
            return str(error)
    if name in ("checkpoint", "swa") or (name in dare.VARIANTS and dare.VARIANTS[name].retargets):
        history = histories.History(run_directory.folder(arguments, "train") / "history")
        if not set(get_ats.second_half(history)) <= set(history.stored):
            return "weights of mined epochs are deleted: train with --keep second-half or all to have them"
    return None


def stages(arguments: argparse.Namespace) -> list[str]:
    """The stages that these arguments ask for, without those that this cell has not the files for."""
    names = chosen_variants(arguments.variant)
    return [
        f"finetune_dare-{name}"
        for name, by_name in names
        if by_name or finished(arguments, name) or not lacking(arguments, name)
    ]


def options() -> command.Parser:
    """The parser of the options."""
    parser = trained_cell.parser(__doc__, "--variant dare weight-noise")
    parser.add_argument(
        "--variant",
        nargs="+",
        type=command.name("variant", ["all", *KNOWN]),
        default=["all"],
        help=f"what to make, in this order; all: whatever this cell has the files for, but {ONLY_BY_NAME[0]} only by "
        "name (default: all)",
    )
    parser.add_argument(
        "--repeats", type=command.whole(1), default=3, help="tuning repeats of each variant, from different batches"
    )
    parser.add_argument(
        "--draws", type=command.whole(1), help="draws of each noise (default: one for each repeat of dare)"
    )
    parser.add_argument(
        "--learning-rates", nargs="+", type=command.real(above=0), help="instead of each variant's own grid"
    )
    parser.add_argument(
        "--choose-on",
        nargs="+",
        type=command.name("attack", attacks.ATTACKS),
        default=["fgsm"],
        help="the attacks whose validation parts choose among several learning rates",
    )
    parser.add_argument(
        "--swa-images", type=command.whole(1), default=5000, help="images that re-estimate batch-norm statistics"
    )
    parser.add_argument(
        "--other-seed",
        type=command.whole(0, 2**32 - 1),
        help="whose net other-seed is (default: the next seed that is trained by the same recipe)",
    )
    for option, names in (
        ("--draws", NOISES),
        ("--swa-images", ["swa"]),
        ("--other-seed", ["other-seed"]),
        ("--learning-rates", dare.VARIANTS),
    ):
        able = {"all", *names}
        whom = "a variant of DARE" if names is dare.VARIANTS else " or ".join(names)
        parser.needs([option], lambda arguments, able=able: able & {*arguments.variant}, f"--variant all or {whom}")
    return parser


if __name__ == "__main__":
    command.run(main, options())
