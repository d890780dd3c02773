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

SCRIPTS = pathlib.Path(__file__).resolve().parent

CRAFTED = ["fgsm", "bim", "pgd", "jsma"]
QUICK_VARIANTS = [
    *("dare-union", "dare-majority", "dare-key", "dare-last", "dare-rand", "dare-newest", "dare-released"),
    "dare-s-10-steps",
]
CONTROLS = ["weight-noise", "logit-noise", "negated", "tune-clean", "checkpoint", "swa"]
ALL = [*CRAFTED, "cw"]  # the attacks of the papers; cw takes a hundred times as long as fgsm

# preset -> cells and the options of each stage, one list or, where a stage runs several times, a tuple of lists.
# quick: minutes on two cores; small: an evening on two cores; paper: one GPU.
DARE = {
    "quick": {
        "cells": [("digits", "alexnet@0.2", 0)],
        "1_train": ["--epochs", "30", "--batch-size", "32", "--deterministic"],
        "2_slice": ["--deterministic"],
        "3_get_ats": ["--deterministic"],
        "4_generate_adv": ["--parts", "60", "40", "100", "30", "--deterministic"],
        "5_finetune_dare": [
            *("--variant", "dare", "dare-s", "dare-sl", "dare-rand"),
            *("weight-noise", "logit-noise", "tune-clean", "checkpoint", "swa", "--repeats", "2", "--deterministic"),
        ],
        "6_finetune_adv": ["--repeats", "2", "--deterministic"],
        "7_test": ["--white-box", "pgd", "--white-box-images", "60", "--deterministic"],
    },
    "small": {
        "cells": [*(("fashion_mnist", "alexnet@0.25", seed) for seed in range(3)), ("cifar10", "alexnet@0.25", 0)],
        "1_train": ["--epochs", "24"],
        "4_generate_adv": (
            ["--attack", *CRAFTED, "--parts", "200", "100", "1000", "100"],
            ["--attack", "cw", "--parts", "0", "0", "100", "0"],
        ),
        "5_finetune_dare": (
            ["--variant", "dare", "--repeats", "1"],
            ["--variant", *QUICK_VARIANTS, "--learning-rates", "1e-4", "--repeats", "1"],
            ["--variant", "dare-s", "dare-sl", "dare-10-epochs", *CONTROLS, "--repeats", "1"],
        ),
        "6_finetune_adv": ["--attack", *CRAFTED, "--distillation", "--repeats", "1"],
        "7_test": ["--attack", *ALL, "--white-box", "pgd", "apgd-ce", "--white-box-images", "200"],
        "9_what_matters": ["--attack", *CRAFTED],
        "10_white_box": [
            *("--samples", "8000", "--learning-rates", "1e-4", "5e-4"),
            *("--images", "400", "--choice-images", "200", "--attack-steps", "20", "--restarts", "1"),
        ],
    },
    "paper": {
        "cells": [
            (dataset, model, seed)
            for dataset in ("cifar10", "svhn", "fashion_mnist")
            for model in ("alexnet", "vgg16", "vgg19")
            for seed in range(3)
        ],
        "1_train": ["--epochs", "200"],
        "4_generate_adv": ["--attack", *ALL, "--parts", "4000", "1000", "5000", "1000"],
        "6_finetune_adv": ["--attack", *ALL, "--distillation"],
        "7_test": ["--attack", *ALL],
        "9_what_matters": ["--attack", *ALL],
        "10_white_box": [],
    },
}
GUARDED = ["--setup", "fast", "--validation", "1000"]
EVERY_METHOD = [
    *(
        "standard",
        "pgd-7",
        "pgd-10",
        "t-pgd-7",
        "fgsm-rs",
        "free-4",
        "free-6",
        "free-8",
        "free-8-persistent",
        "trades",
        "mart",
    ),
    *("fat-5", "fat", "fat-dynamic", "f+trades", "f+mart", "yopo-5-3", "amata-2-10", "m+deat", "deat-d", "deat-p"),
    *("m+pgd", "m+pgd-2021", "m+trades", "m+trades-2021", "m+mart", "m+mart-2021"),
]
# quick: minutes on two cores; small: every method under one budget of passes, an evening; paper: DEAT's tables, a GPU.
ROBUST = {
    "quick": {
        "cells": [("digits", "small_cnn@0.25", 0)],
        "1_train": [
            *("--method", "pgd-7", "free-8", "m+deat", "--bp-epochs", "60", "--setup", "fast", "--validation", "200"),
            *("--learning-rate", "0.03", "--batch-size", "32", "--no-augmentation", "--deterministic"),
        ],
        "2_test": ["--test-images", "200", "--attack", "pgd-20", "apgd-ce", "--deterministic"],
    },
    "small": {
        "cells": [("fashion_mnist", "small_cnn@0.5", seed) for seed in range(2)],
        "1_train": [
            *("--method", *EVERY_METHOD, "--bp-epochs", "40", "--images", "10000", *GUARDED),
            *("--learning-rate", "0.03", "--batch-size", "64", "--no-augmentation"),
        ],
        "2_test": ["--test-images", "500", "--attack", "pgd-20", "cw-linf-20", "apgd-ce", "apgd-t"],
    },
    "paper": {
        "cells": [("cifar10", "preact_resnet18", seed) for seed in range(3)],
        "1_train": ["--method", *EVERY_METHOD, "--setup", "standard", "--precision", "bfloat16"],
        "2_test": [],
    },
}
STUDIES = {
    "dare": {
        "stages": (
            *("1_train", "2_slice", "3_get_ats", "4_generate_adv", "5_finetune_dare", "6_finetune_adv", "7_test"),
            *("9_what_matters", "10_white_box"),
        ),
        "optional": ("9_what_matters", "10_white_box"),  # run by the presets that name them
        "last": "8_tables",
        "presets": DARE,
    },
    "robust_training": {"stages": ("1_train", "2_test"), "optional": (), "last": "3_tables", "presets": ROBUST},
}
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
    made = [sys.executable, str(SCRIPTS / arguments.study / f"{stage}.py")]
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
    options = preset["1_train"]
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
