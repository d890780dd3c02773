"""Publish the rows of finished cells: results/measured/, and all tables, figures and documents that are made of them.

Reads <runs>/*/*/seed*/*/row*.json; writes results/ and the generated sections of README.md and REPRODUCTION.md. Where
there are no runs, what is published already is written again; --check only tells whether it says what was measured.
"""

try:
    from pipeline import command
except ModuleNotFoundError as error:  # another Python than that of the environment
    raise SystemExit(f"no module {error.name}: run it with .venv/bin/python (make quick makes it)") from None

import argparse

from reporting import figures
from studies import catalogue, publish


def main(arguments: argparse.Namespace) -> None:
    if arguments.check:
        publish.write(publish.measured(), check=True)
        print("publish: the documents say what was measured")
        return
    runs = arguments.runs or "runs"
    rows = catalogue.collect_all(runs, arguments.study)
    if arguments.runs and not rows:
        raise FileNotFoundError(f"{arguments.runs}: no finished row of {', '.join(arguments.study)} in it to publish")
    mined = catalogue.of_study(rows, "dare")
    for name, figure in catalogue.STUDIES["dare"].report.examples(command.narrow(arguments, runs=runs), mined):
        figures.save(figure, publish.ROOT / "results" / "figures" / f"{name}.png", dpi=90)
    changed = publish.publish(rows, add=arguments.add)
    print(f"publish: {len(rows)} rows, changed: {', '.join(changed) or 'nothing'}")


def options() -> command.Parser:
    """The parser of the options."""
    parser = command.Parser(description=__doc__, example="--study dare --add")
    parser.set_defaults(seed=0)
    parser.add_argument("--study", nargs="+", choices=catalogue.STUDIES, default=list(catalogue.STUDIES), help="which")
    parser.add_argument(
        "--runs", type=command.path, help="folder of all run directories (default: runs, if it is there)"
    )
    parser.add_argument(
        "--add", action="store_true", help="publish beside the seeds that are there, not in their place"
    )
    parser.add_argument("--check", action="store_true", help="fail where a generated section is out of date")
    parser.add_argument(
        "--data-dir", type=command.path, help="folder of the data files, for examples of adversarial images"
    )
    parser.add_argument("--unverified", action="store_true", help="admit data files without the published digest")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    parser.needs(("--runs", "--add", "--data-dir", "--study"), lambda arguments: not arguments.check, "no --check")
    return parser


if __name__ == "__main__":
    command.run(main, options())
