"""A step of the class-wise study that computes nothing: the rows of a cell in, a claim printed."""

from pipeline import command, run_directory
from studies import catalogue
from studies.classwise import rows as class_rows


def rows(arguments):
    """The rows of the cell that the arguments name, its seeds pooled. Raises FileNotFoundError for none."""
    cell = run_directory.folder(arguments, "attack").parents[1].name
    [own] = class_rows.cells(catalogue.collect(arguments.runs, "classwise", cell)).values()
    return own


def of(claim):
    """A script's main: print what the rows say of a claim (studies/classwise/claims.py)."""

    def main(arguments):
        show(claim(rows(arguments)))

    return main


def show(found):
    """Print a Claim."""
    beyond = f"; would have shown from: {found.detectable}" if found.detectable else ""
    print(f"claim: {found.claim}\nevidence: {found.evidence}\nverdict: {found.verdict}{beyond}")


def options(description):
    """The parser of such a step."""
    parser = command.parser(description, study="classwise")
    parser.set_defaults(model="small_cnn")
    return parser
