"""The row of a repair method: its measures over the repeats, beside weight noise of the same norm, and its cost."""

import argparse
from typing import Any

from adv import autoattack
from dare.repair import catalogue
from pipeline import command, lineage
from pipeline.run_directory import Stage
from reporting import measures as of_measures
from reporting import row, statistics
from studies.dare import mined
from studies.repair.cell import GIVEN, Cell, attacks, method

PREFIX = {"clean": "", "adversarial": "adv-"}  # failures that are repaired -> prefix of a method's name
PER_REPEAT = ("changed", "relative_change", "forward", "backward", "facts", "p")


def label(arguments: argparse.Namespace, name: str) -> str:
    """The name of a line: "neurecover", "adv-neurecover" where adversarials are repaired, "arachne-confusion-3-5"."""
    named = name in catalogue.OF_CLEAN and arguments.confusion
    return (
        name
        if name in GIVEN
        else "-".join([PREFIX[arguments.failures] + name, *map(str, arguments.confusion if named else [])])
    )


def make(arguments: argparse.Namespace, cell: Cell, stage: Stage, name: str, flags: list, facts: list[dict]) -> row.Row:
    """The Row (reporting/row.py) of a method.

    cell: studies.repair.cell.Cell
    stage: run_directory.Stage
    flags, facts: of each repeat, as Cell.flags gives them
    """
    correct = [each.correct for each in flags]
    measures = {
        measure: of_measures.share([repeat[measure] for repeat in correct if measure in repeat])
        for measure in correct[0]
    }
    for each, repeat in zip(facts, correct, strict=True):
        before, after = cell.before, repeat["clean"]
        each["p"] = statistics.mcnemar(int((after & ~before).sum()), int((before & ~after).sum()))
    attacked = {set_name: adversarials.attack for set_name, adversarials in cell.sets.items()}
    if attacks(arguments, name):
        attack = autoattack.AutoAttack(seed=arguments.seed)
        attacked["white-box/autoattack"] = attack.specification() | {"epsilons": [cell.epsilon]}
    hyperparameters = {"width": command.width(arguments), "source_epochs": cell.history.last}
    if name in catalogue.METHODS:
        hyperparameters |= repaired_on(arguments) | sizes(method(arguments, name))
    return row.of_stage(
        stage,
        study="repair",
        dataset=cell.split.name,
        method=label(arguments, name),
        title=title(arguments, name),
        role=role(name),
        verified=cell.split.verified,
        hyperparameters=hyperparameters,
        repeats=len(flags),
        measures=measures,
        checks=[*row.checks([each.checks for each in flags]), *mined.checks_of(lineage.above(stage))],
        attacks=attacked,
        details={what: [each[what] for each in facts] for what in PER_REPEAT}
        | {"noise_checks": row.checks([each.get("noise_checks", []) for each in facts])},
    )


def repaired_on(arguments: argparse.Namespace) -> dict:
    """The attacks whose adversarials are repaired; {} where clean failures are."""
    return {"repair_on": ", ".join(arguments.repair_on)} if arguments.failures == "adversarial" else {}


def sizes(chosen: Any) -> dict:
    """The sizes of a method's search: {} without one."""
    search = getattr(getattr(chosen, "of", chosen), "search", None)
    if search is None:
        return {}
    return {"particles": getattr(search, "particles", None) or search.vectors, "generations": search.generations}


def role(name: str) -> str:
    """The role of a line."""
    if name == "original":
        return "original"
    return "control" if name in catalogue.CONTROLS else "method" if name == "dare" else "baseline"


def title(arguments: argparse.Namespace, name: str) -> str:
    """The title of a line."""
    if name in GIVEN:
        return {"original": "original", "dare": "DARE, as tuned in this run directory"}[name]
    own = method(arguments, name).title
    return own if arguments.failures == "clean" else f"{own}; adversarial failures"
