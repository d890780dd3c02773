"""Repair the trained model by every method that edits weights, and measure each in one way.

Reads train/, generate_adv-*/ and, where it is there, finetune_dare-dare/; writes repair-<method>/ with the state of a
search after each generation, weights-<repeat>.weights.h5, flags-<repeat>.h5 and row.json. A killed run continues with
the last whole generation. x_validation locates, searches and chooses; x_test is only measured.
"""

from __future__ import annotations  # its types load no library (pipeline/late.py)

try:
    from pipeline import command, run_directory
except ModuleNotFoundError as error:  # another Python than that of the environment
    raise SystemExit(f"no module {error.name}: run it with .venv/bin/python (make quick makes it)") from None


import argparse
from collections.abc import Iterator
import pathlib

from adv import attacks, autoattack
from dare import get_ats
from dare.flags import Flags
from dare.repair import catalogue, problem
from data import files
import models
from reporting import row as result_row
from studies import seed_report
from studies.dare import trained_cell
from studies.repair import cell as repair_cell
from studies.repair import row as repair_row
from studies.repair import tables as repair_tables
from train import history as histories

ALL = (*repair_cell.GIVEN, *catalogue.METHODS)
UNREAD = (*catalogue.OF_HISTORY, *catalogue.OF_CLEAN)  # what repairs no adversarial
SEARCHED = tuple(name for name, method in catalogue.METHODS.items() if repair_row.sizes(method))


def main(arguments: argparse.Namespace) -> None:
    cell = None
    for name in chosen_methods(arguments):
        settings, inputs = narrow(arguments, name)
        label = repair_row.label(arguments, name)
        stage = run_directory.begin(f"repair-{label}", settings, inputs=inputs, uses=uses(arguments, name))
        if stage is None:
            continue
        cell = cell or repair_cell.Cell(arguments)
        units = [unit(cell, name, repeat, stage.folder) for repeat in range(cell.repeats(name))]
        row = repair_row.make(arguments, cell, stage, name, *zip(*units, strict=True))
        result_row.save(row, stage.folder / "row.json")
        run_directory.finish(stage)
        summary = ", ".join(
            f"{measure} {values['value']:.2f} %" for measure, values in row["measures"].items() if not is_noise(measure)
        )
        saturated = result_row.saturated(row["checks"])  # known of nets under AutoAttack
        summary += "" if saturated is None else f", saturated {saturated:g} %"
        print(f"repair {label}: {summary} ({stage.folder})")
    seed_report.write(arguments, "repair", repair_tables.tables)


def unit(cell: repair_cell.Cell, name: str, repeat: int, folder: pathlib.Path) -> tuple[Flags, dict]:
    """(Flags, facts) of a repeat; what is finished is read back."""
    flags, facts = folder / f"flags-{repeat}.h5", folder / f"facts-{repeat}.json"
    if not (flags.is_file() and facts.is_file()):
        repeat_flags, repeat_facts = cell.flags(name, repeat, repaired(cell, name, repeat, folder), folder)
        repeat_flags.save(flags)
        files.write_sealed(facts, repeat_facts)
    return Flags.load(flags, data=cell.split.fingerprint), files.read_sealed(facts)


def repaired(cell: repair_cell.Cell, name: str, repeat: int, folder: pathlib.Path) -> problem.Repaired:
    """The result of a repeat: its weights and cost are kept before they are measured."""
    weights, cost, state = (folder / f"{part}-{repeat}{ending}" for part, ending in
                            (("weights", ".weights.h5"), ("cost", ".json"), ("state", ".h5")))  # fmt: skip
    if not (weights.is_file() and cost.is_file()):
        repair = cell.repaired(name, repeat, state)
        if repair.weights is None:  # of several models
            return repair
        with models.keeping_weights(cell.model, cell.original):
            cell.model.set_weights(repair.weights)
            histories.save_weights(cell.model, weights)
        files.write_sealed(cost, {"forward": repair.forward, "backward": repair.backward, "facts": repair.facts})
    if state.is_file():
        files.remove(state)
    with models.keeping_weights(cell.model, cell.original):
        histories.load_weights(cell.model, weights)
        return problem.Repaired(weights=cell.model.get_weights(), **files.read_sealed(cost))


def chosen_methods(arguments: argparse.Namespace) -> Iterator[str]:
    """The original, and the methods that were asked for or can be made here."""
    for name in dict.fromkeys(["original", *arguments.method]):
        if name == "all":
            yield from (method for method in ALL if method != "original" and not lacking(arguments, method))
        else:
            yield name


def lacking(arguments: argparse.Namespace, name: str) -> bool:
    """Whether "all" leaves a method out: it needs what the run directory lacks, trains, or reads no failures."""
    trained = run_directory.folder(arguments, "train")
    if name == "dare":
        return not run_directory.finished(run_directory.folder(arguments, "finetune_dare-dare"))
    if name == "ema-step":
        return not (run_directory.finished(trained) and run_directory.record(trained)["arguments"].get("ema_step"))
    if name not in catalogue.RECORDED and run_directory.finished(trained):
        history = histories.History(trained / "history")
        if not {*get_ats.second_half(history)} <= {*history.stored}:
            return True
    return name in catalogue.TRAINED or (arguments.failures == "adversarial" and name in UNREAD)


def narrow(arguments: argparse.Namespace, name: str) -> tuple[argparse.Namespace, list[str]]:
    """(the arguments that a method reads, the stages that it reads)."""
    unread = {"method": name, **({} if name in SEARCHED else {"particles": None, "generations": None})}
    if name in (*repair_cell.GIVEN, *catalogue.OF_HISTORY):
        unread |= dict.fromkeys(("repair_on", "failures", "most_failures", "most_kept"))
    unread["attacked"] = None
    unread["most_failures" if name in catalogue.OF_CLEAN else "confusion"] = None
    if not repair_cell.attacks(arguments, name):
        unread["images"] = unread["epsilon"] = unread["attack_repeats"] = None
    if name not in catalogue.DRAWN:
        unread["repeats"] = None
    elif arguments.failures == "clean":
        unread["repair_on"] = None
    inputs = ["train", *(f"generate_adv-{attack}" for attack in arguments.attack)]
    return command.narrow(arguments, **unread), [*inputs, *(["finetune_dare-dare"] if name == "dare" else [])]


def uses(arguments: argparse.Namespace, name: str) -> dict:
    """The method, and the white-box attack."""
    own = {"method": repair_cell.method(arguments, name)} if name in catalogue.METHODS else {}
    attacked = repair_cell.attacks(arguments, name)
    return own | ({"attack": autoattack.AutoAttack(seed=arguments.seed)} if attacked else {})


def is_noise(measure: str) -> bool:
    """Whether a measure is of weight noise."""
    return measure.startswith(repair_cell.NOISE)


def stages(arguments: argparse.Namespace) -> list[str]:
    """The stages that these arguments ask for."""
    return [f"repair-{repair_row.label(arguments, name)}" for name in chosen_methods(arguments)]


def options() -> command.Parser:
    """The parser of the options."""
    parser = trained_cell.parser(__doc__, "--method neurecover swa")
    count, ball = command.whole(1), command.real(above=0, most=1)
    parser.add_argument(
        "--method",
        nargs="+",
        type=command.name("method", ["all", *ALL]),
        default=["all"],
        help="what to make, in this order, after the original; all: whatever this cell has the files for, but for "
        "apricot, which trains as long as the source model",
    )
    parser.add_argument(
        "--failures", choices=("clean", "adversarial"), default="clean",
        help="what is repaired: images of x_validation that the model misclassifies, or adversarials",
    )  # fmt: skip
    parser.add_argument(
        "--repair-on", nargs="+", type=command.name("attack", attacks.ATTACKS), default=["fgsm"],
        help="whose train parts are repaired, and whose validation parts choose",
    )  # fmt: skip
    command.add_attacks(parser, "the adversarial sets that ER is measured on")
    parser.add_argument("--repeats", type=count, default=3, help="repeats of a method that draws random numbers")
    parser.add_argument("--particles", type=command.whole(4), help="of a swarm, or vectors (default: 100, published)")
    parser.add_argument("--generations", type=count, help="of a search, at most (default: 100, as published)")
    parser.add_argument(
        "--confusion", nargs=2, type=command.whole(0), metavar=("LABEL", "PREDICTED"),
        help="what arachne-confusion repairs: images of a class that the model takes for another (default: the most "
        "frequent confusion)",
    )  # fmt: skip
    parser.add_argument("--most-failures", type=count, help="repair so many failures, drawn at random (default: all)")
    parser.add_argument("--most-kept", type=count, help="keep so many correct images in view (default: all)")
    parser.add_argument("--norm-images", type=count, default=5000, help="x_train images that re-measure batch norm")
    parser.add_argument("--images", type=count, default=500, help="x_test images under AutoAttack")
    parser.add_argument(
        "--attacked", nargs="+", type=command.name("method", ["all", *ALL]), default=["all"],
        help="whose nets, and noise of the same norm, are under AutoAttack (default: all)",
    )  # fmt: skip
    parser.add_argument("--attack-repeats", type=command.whole(0), default=1, help="repeats under AutoAttack")
    parser.add_argument("--epsilon", type=ball, help="its Linf radius (default: 0.02; colour 2/255)")
    parser.needs(["--repair-on"], lambda arguments: arguments.failures == "adversarial", "--failures adversarial")
    parser.needs(
        ["--images", "--epsilon", "--attacked"],
        lambda arguments: arguments.attack_repeats,
        "--attack-repeats of at least 1",
    )
    parser.needs(
        ["--particles", "--generations"],
        lambda arguments: {"all", *SEARCHED} & {*arguments.method},
        "--method all or one that searches",
    )
    parser.needs(
        ["--confusion"],
        lambda arguments: {"all", *catalogue.OF_CLEAN} & {*arguments.method} and arguments.failures == "clean",
        f"--method all or {' or '.join(catalogue.OF_CLEAN)}, and --failures clean",
    )
    parser.require(
        lambda arguments: arguments.confusion is None or len({*arguments.confusion}) == 2,
        lambda arguments: f"--confusion {' '.join(map(str, arguments.confusion))}: expected two classes",
    )
    drawn = {"all", *catalogue.DRAWN}
    parser.needs(["--repeats"], lambda arguments: drawn & {*arguments.method}, "a --method that draws random numbers")
    parser.require(
        lambda arguments: arguments.failures == "clean" or {*arguments.repair_on} <= {*arguments.attack},
        lambda arguments: (
            f"--repair-on {' '.join(arguments.repair_on)}: expected names of --attack {' '.join(arguments.attack)}"
        ),
    )
    parser.require(
        lambda arguments: arguments.failures == "clean" or not {*UNREAD} & {*arguments.method},
        lambda arguments: f"--failures adversarial: {', '.join(UNREAD)} read none of these, leave them out",
    )
    return parser


if __name__ == "__main__":
    command.run(main, options())
