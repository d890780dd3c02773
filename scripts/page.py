"""Make one HTML file of all published results, or of one's own runs: tables and figures, without a server or a network.

Reads results/measured/, or with --runs the rows of run directories; examples of adversarial images are shown too.
"""

try:
    from pipeline import command
except ModuleNotFoundError as error:  # another Python than that of the environment
    raise SystemExit(f"no module {error.name}: run it with .venv/bin/python (make quick makes it)") from None

import argparse
import pathlib

from studies import catalogue, page, publish, verdicts


def main(arguments: argparse.Namespace) -> None:
    rows, paths = publish.measured(), sorted((publish.ROOT / "results" / "figures").glob("*-examples-*.png"))
    examples = [(path.stem, path) for path in paths]
    if arguments.runs:
        rows = catalogue.collect_all(arguments.runs)
        paths = sorted(pathlib.Path(arguments.runs).glob("*/*/report/figure-*examples*.png"))
        examples = [(f"{path.parents[1].name}: {path.stem.removeprefix('figure-')}", path) for path in paths]
    if not rows:
        raise FileNotFoundError(f"{arguments.runs}: no row.json of any study: run its test stage first")
    left_out = []
    drawn = catalogue.figures(rows, left_out)
    pictures = [(f"{name}: {caption}", page.png(figure)) for name, caption, figure in drawn]
    pictures += [(title, path.read_bytes()) for title, path in examples]
    judged = verdicts.tables(list(catalogue.tables(rows, left_out)))
    path = page.write(rows, pathlib.Path(arguments.out), pictures, judged)
    for sentence in left_out:
        print(f"page: left out, {sentence}")
    print(f"page: {len(rows)} rows, {path.stat().st_size / 1e6:.1f} MB ({path})")


def options() -> command.Parser:
    """The script's argument parser."""
    parser = command.Parser(description=__doc__, example="--runs runs --out mine.html")
    parser.set_defaults(seed=0)
    parser.add_argument("--out", type=command.path, default="page.html", help="the file to write")
    parser.add_argument(
        "--runs", type=command.path, help="folder of run directories (default: rows of results/measured/)"
    )
    return parser


if __name__ == "__main__":
    command.run(main, options())
