"""The published claims on robustness by class, each with what the attacked models of a cell say of it.

Reads the rows of 1_attack.py, of every seed; prints claim, evidence and verdict. The claims "similar" and "levers" need
what 4_similar_classes.py and 5_levers.py train, which print them too.
"""

try:
    from pipeline import command
except ModuleNotFoundError as error:  # another Python than that of the environment
    raise SystemExit(f"no module {error.name}: run it with .venv/bin/python (make quick makes it)") from None

import argparse

from studies.classwise import claims, rows


def main(arguments: argparse.Namespace) -> None:
    cell_rows = rows.of_cell(arguments)
    for name in arguments.claim:
        claims.show(claims.CLAIMS[name](cell_rows))


def options() -> command.Parser:
    """The script's argument parser."""
    parser = command.parser(__doc__, study="classwise", example="--dataset fashion_mnist --model small_cnn@0.5")
    parser.set_defaults(model="small_cnn")
    known = command.name("claim", claims.CLAIMS)
    parser.add_argument("--claim", nargs="+", type=known, default=list(claims.CLAIMS), help="which")
    return parser


if __name__ == "__main__":
    command.run(main, options())
