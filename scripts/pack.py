"""Pack the finished cells of DARE into one release: nets, adversarials, flags, rows, model cards.

    python scripts/pack.py --runs runs --out release.zip
    python scripts/reproduce.py --from-artefacts release.zip       # scores it all again, without training

Nets keep their float32 weights. An adversarial is kept as its difference from the image that was attacked, in as few
bits as leave every prediction of every net as it was. With --light the nets and adversarials stay out: rows, flags and
logs alone, in archives of at most --part MiB.
"""

try:
    from pipeline import command
except ModuleNotFoundError as error:  # another Python than that of the environment
    raise SystemExit(f"no module {error.name}: run it with .venv/bin/python (make quick makes it)") from None

import argparse
import pathlib

from studies import light_parts
from studies.dare import packing


def main(arguments: argparse.Namespace) -> None:
    if arguments.light:
        paths = light_parts.write(arguments.runs, arguments.out, most=arguments.part << 20)
        print(f"pack: rows, flags and logs in {', '.join(map(str, paths))}")
        return
    records = sorted((pathlib.Path(arguments.runs) / "dare").glob("*/seed*/test-original/run.json"))
    seeds = [path.parents[1] for path in records if not arguments.cell or path.parents[2].name in arguments.cell]
    if not seeds:
        of_cells = f" of {', '.join(arguments.cell)}" if arguments.cell else ""
        raise FileNotFoundError(
            f"{arguments.runs}/dare: no tested cell{of_cells}; test one with scripts/dare/7_test.py"
        )
    for sentence in packing.pack(arguments.out, seeds, arguments):
        print(f"pack: {sentence}")
    size = pathlib.Path(arguments.out).stat().st_size
    print(f"pack: {len(seeds)} {'cell' if len(seeds) == 1 else 'cells'}, {size / 2**20:.1f} MiB ({arguments.out})")


def options() -> command.Parser:
    """The parser of the options."""
    parser = command.Parser(description=__doc__, example="--out release.zip")
    parser.set_defaults(seed=0)
    parser.add_argument("--runs", type=command.path, default="runs", help="folder of all run directories")
    parser.add_argument("--out", type=command.path, default="release.zip", help="archive; with --light a folder")
    parser.add_argument("--cell", nargs="+", metavar="NAME", help="folders in <runs>/dare (default: all)")
    parser.add_argument("--light", action="store_true", help="rows, flags and logs of all studies alone")
    parser.add_argument("--part", type=command.whole(1), default=15, help="MiB of an archive of --light, at most")
    command.add_data(parser)
    parser.add_argument("--quiet", action="store_true", help="no progress")
    parser.needs(["--part"], lambda arguments: arguments.light, "--light")
    parser.needs(["--cell"], lambda arguments: not arguments.light, "no --light")
    return parser


if __name__ == "__main__":
    command.run(main, options())
