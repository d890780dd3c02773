"""Run a whole study: expand a preset into the commands of its numbered scripts, and run them.

    python scripts/reproduce.py --study dare --preset quick
    python scripts/reproduce.py --study dare --preset paper --dry-run      # print the commands and what they cost

Each cell (data set, model, seed) runs in its own process, stage after stage; finished stages are skipped, so the same
command continues after a crash.
"""

import argparse
import concurrent.futures
import os
import pathlib
import shlex
import subprocess
import sys

from results import presets

SCRIPTS = pathlib.Path(__file__).resolve().parent

STUDIES = presets.STUDIES
MEGABYTES_AN_EPOCH = {  # 4 bytes a parameter, at width 1
    ("alexnet", 28): 32.3,
    ("alexnet", 32): 38.6,
    ("vgg16", 28): 106.2,
    ("vgg16", 32): 134.6,
    ("vgg19", 28): 134.5,
    ("vgg19", 32): 155.9,
    ("small_cnn", 28): 1.25,
    ("preact_resnet18", 32): 44.7,
}


def main(arguments):
    study = STUDIES[arguments.study]
    preset = study["presets"][arguments.preset]
    cells = [
        [one for stage in stages(study, preset) for one in commands(arguments, study, preset, stage, *cell)]
        for cell in preset["cells"]
    ]
    tables = [sys.executable, str(SCRIPTS / arguments.study / f"{study['last']}.py"), "--runs", arguments.runs]
    if arguments.data_dir and arguments.study == "dare":
        tables += ["--data-dir", arguments.data_dir]
    if arguments.dry_run:
        for lines in [*cells, [tables]]:
            print("\n".join(show(one) for one in lines))
        for line in costs(cells):
            print(f"# {line}")
        print(f"# {disk(preset):.1f} GB of checkpoints under {arguments.runs}")
        return 0
    with concurrent.futures.ThreadPoolExecutor(arguments.workers) as pool:
        failed = [code for code in pool.map(run_cell, cells) if code]
    return max(failed) if failed else run_cell([tables])


def stages(study, preset):
    """The stages of a preset in order: all but the optional ones that it has no options for."""
    return [stage for stage in study["stages"] if stage in preset or stage not in study["optional"]]


def commands(arguments, study, preset, stage, dataset, model, seed):
    """The argument lists of one stage of one cell, one for every list of options that the preset gives it."""
    path = stage if "/" in stage else f"{arguments.study}/{stage}"  # of another study by its name
    made = [sys.executable, str(SCRIPTS / f"{path}.py")]
    made += ["--dataset", dataset, "--model", model, "--seed", str(seed), "--runs", arguments.runs]
    if arguments.data_dir:
        made += ["--data-dir", arguments.data_dir]
    made += [flag for flag in ("--unverified", "--quiet") if getattr(arguments, flag[2:])]
    options = preset.get(stage, [])
    return [made + each for each in (options if isinstance(options, tuple) else (options,))]


def run_cell(commands):
    """Run the commands one after the other, each in its own process; the first failure's exit status, or 0.

    A process that a signal ended counts as 128 plus the signal, as in a shell.
    """
    for one in commands:
        print(f"$ {show(one)}", flush=True)
        code = subprocess.run(one, check=False).returncode
        if code:
            code = 128 - code if code < 0 else code
            print(f"stopped with exit status {code}: {show(one)}", file=sys.stderr, flush=True)
            return code
    return 0


def show(command):
    """The command as a user would type it."""
    return shlex.join(["python", os.path.relpath(command[1]), *command[2:]])


def workers(text):
    """The number that --workers takes, at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} given, expected a whole number of at least 1")
    return int(text)


def costs(cells):
    """The estimate of the cells' commands, as lines. It loads Keras, which running them here does not."""
    from results import command, estimate  # noqa: F401 (command first: it keeps TensorFlow's start-up lines away)

    return estimate.lines(estimate.of(cells))


def disk(preset):
    """Gigabytes of checkpoints that a preset writes: of every epoch, or of each method's selected and last one."""
    options = next(one for stage, one in preset.items() if stage.endswith("1_train"))
    if "--epochs" in options:
        kept = int(options[options.index("--epochs") + 1])
    else:
        after = options[options.index("--method") + 1 :]
        kept = 3 * next((place for place, one in enumerate(after) if one.startswith("--")), len(after))  # and momentum
    total = 0
    for dataset, model, _ in preset["cells"]:
        stem, _, width = model.partition("@")
        size = MEGABYTES_AN_EPOCH[stem, 32 if dataset in ("cifar10", "svhn") else 28]
        total += size * float(width or 1) ** 2 * kept / 1000
    return total


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--study", choices=STUDIES, default="dare")
    parser.add_argument("--preset", choices=["quick", "small", "paper"], default="quick")
    parser.add_argument("--dry-run", action="store_true", help="print the commands and what they cost, run nothing")
    parser.add_argument("--workers", type=workers, default=1, help="cells that run at once")
    parser.add_argument("--runs", default="runs", help="folder of all run directories")
    parser.add_argument("--data-dir", help="folder of the original data files")
    parser.add_argument("--unverified", action="store_true", help="admit data files without the published digest")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    try:
        sys.exit(main(parser.parse_args()))
    except KeyboardInterrupt:
        print("interrupted; the same command continues", file=sys.stderr)
        sys.exit(130)
