"""The presets of every study: cells and the options of each stage, as scripts/reproduce.py turns them into commands.

quick takes minutes on two cores, small an evening, nine (DARE's main table at a quarter of the width) an hour or more a
cell, paper one GPU. A stage has one list of options or, where it runs several times, a tuple of lists; one of another
study has that study's name before it. Where cells differ in their options, a dictionary has them by data set and model.
"""

CRAFTED = ["fgsm", "bim", "pgd", "jsma"]
QUICK_VARIANTS = [
    *("dare-union", "dare-majority", "dare-key", "dare-last", "dare-rand", "dare-newest", "dare-released"),
    "dare-s-10-steps",
]
CONTROLS = ["weight-noise", "logit-noise", "negated", "tune-clean", "checkpoint", "swa"]
ALL = [*CRAFTED, "cw"]  # the attacks of the papers; cw takes a hundred times as long as fgsm
NETS = [(dataset, model) for dataset in ("cifar10", "svhn", "fashion_mnist") for model in ("alexnet", "vgg16", "vgg19")]

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
        "7_test": ["--attack", *ALL, "--white-box", "pgd", "apgd-ce", "apgd-t", "--white-box-images", "200"],
        "9_what_matters": ["--attack", *CRAFTED],
        "10_white_box": [
            *("--samples", "8000", "--learning-rates", "1e-4", "5e-4"),
            *("--images", "400", "--choice-images", "200", "--attack-steps", "20", "--restarts", "1"),
        ],
    },
    "nine": {
        "cells": [(dataset, f"{model}@0.25", 0) for dataset, model in NETS],
        "1_train": (["--epochs", "24"], ["--epochs", "24", "--seed", "1"]),  # the second is the control other-seed
        "4_generate_adv": (
            ["--attack", *CRAFTED, "--parts", "200", "100", "1000", "100"],
            ["--attack", "cw", "--parts", "200", "0", "300", "0"],
        ),
        "5_finetune_dare": ["--variant", "dare", "dare-s", "dare-sl", "dare-union", *CONTROLS, "other-seed"],
        "6_finetune_adv": ["--attack", *ALL, "--distillation"],
        "7_test": ["--attack", *ALL, "--white-box", "pgd", "apgd-ce", "apgd-t", "--white-box-images", "200"],
    },
    "paper": {
        "cells": [(dataset, model, seed) for dataset, model in NETS for seed in range(3)],
        "1_train": ["--epochs", "200"],
        "4_generate_adv": ["--attack", *ALL, "--parts", "4000", "1000", "5000", "1000"],
        "6_finetune_adv": ["--attack", *ALL, "--distillation"],
        "7_test": ["--attack", *ALL],
        "9_what_matters": ["--attack", *ALL],
        "10_white_box": [],
    },
}
BUDGET = ["--bp-epochs", "40", "--images", "10000", "--setup", "fast", "--validation", "1000", "--batch-size", "64"]
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
    *("trades-deat", "mart-deat", "fat-5-deat", "f+trades-deat", "f+mart-deat", "amata-2-10-deat", "m+trades-deat"),
    "m+mart-deat",
]
UNDER_ONE_BUDGET = [name for name in EVERY_METHOD if not name.endswith("-deat")]  # which are of DEAT's tables alone
FOUR_ATTACKS = ["--test-images", "500", "--attack", "pgd-20", "cw-linf-20", "apgd-ce", "apgd-t"]
BASELINE = ["--method", "pgd-7", "--setup", "pgd-baseline"]
BASELINE_ATTACKS = ["--attack", "pgd-7", "pgd-20", "cw-linf-20", "apgd-ce", "apgd-t"]
# small: every method under one budget of passes, the PGD baseline for ten epochs; paper: DEAT's tables, the baseline.
ROBUST = {
    "quick": {
        "cells": [("digits", "small_cnn@0.25", 0)],
        "1_train": [
            *("--method", "pgd-7", "free-8", "m+deat", "--bp-epochs", "60", "--setup", "fast", "--validation", "200"),
            *("--learning-rate", "0.03", "--batch-size", "32", "--no-augmentation", "--deterministic"),
        ],
        "2_test": ["--test-images", "200", "--attack", "pgd-20", "apgd-ce", "apgd-t", "--deterministic"],
    },
    "small": {
        "cells": [
            *(("fashion_mnist", "small_cnn@0.5", seed) for seed in range(2)),
            *(("cifar10", "preact_resnet18@0.0625", seed) for seed in range(2)),
            *(("cifar10", "resnet18@0.0625", seed) for seed in range(2)),
        ],
        "1_train": {
            ("fashion_mnist", "small_cnn@0.5"): [
                *("--method", *UNDER_ONE_BUDGET, *BUDGET, "--learning-rate", "0.03", "--no-augmentation"),
            ],
            ("cifar10", "preact_resnet18@0.0625"): ["--method", *UNDER_ONE_BUDGET, *BUDGET, "--learning-rate", "0.1"],
            ("cifar10", "resnet18@0.0625"): [*BASELINE, "--epochs", "10", "--images", "20000"],
        },
        "2_test": {
            ("fashion_mnist", "small_cnn@0.5"): FOUR_ATTACKS,
            ("cifar10", "preact_resnet18@0.0625"): FOUR_ATTACKS,
            ("cifar10", "resnet18@0.0625"): ["--test-images", "500", *BASELINE_ATTACKS],
        },
    },
    "paper": {
        "cells": [*(("cifar10", "preact_resnet18", seed) for seed in range(3)), ("cifar10", "resnet18", 0)],
        "1_train": {
            ("cifar10", "preact_resnet18"): ["--method", *EVERY_METHOD],
            ("cifar10", "resnet18"): BASELINE,
        },
        "2_test": {
            ("cifar10", "preact_resnet18"): [],
            ("cifar10", "resnet18"): BASELINE_ATTACKS,
        },
    },
}
# The models to be divided by class: trained by the first stage, beside whatever other studies have made of the cell.
CLAIMS = ("2_report", "3_disparity", "4_consistency", "5_stronger_attacks", "6_weight_norms")
CLASSWISE = {
    "quick": {
        "cells": [("digits", "small_cnn@0.25", 0)],
        "robust_training/1_train": [
            *("--method", "fgsm-rs", "m+deat", "--bp-epochs", "40", "--setup", "fast", "--validation", "200"),
            *("--learning-rate", "0.03", "--batch-size", "32", "--no-augmentation", "--deterministic"),
        ],
        "robust_training/2_test": ["--test-images", "200", "--attack", "pgd-20", "--deterministic"],
        "1_attack": ["--test-images", "200", "--reach-images", "60", "--deterministic"],
        "7_similar_classes": ["--method", "m+deat", "--deterministic"],
        "9_levers": ["--method", "fgsm-rs", "--deterministic"],
    },
    "small": {
        "cells": [("fashion_mnist", "small_cnn@0.5", 0)],
        "robust_training/1_train": ROBUST["small"]["1_train"]["fashion_mnist", "small_cnn@0.5"],
        "robust_training/2_test": FOUR_ATTACKS,
        "1_attack": [],
        "7_similar_classes": ["--method", "m+deat"],
        "9_levers": (["--method", "fgsm-rs"], ["--method", "trades", "--lever", "beta"]),
    },
    "paper": {
        "cells": [("cifar10", "preact_resnet18", 0)],
        "robust_training/1_train": [
            *("--method", "pgd-10", "trades", "mart", "m+deat", "--setup", "standard"),
        ],
        "robust_training/2_test": [],
        "1_attack": ["--test-images", "10000"],
        "7_similar_classes": ["--method", "pgd-10"],
        "9_levers": (["--method", "pgd-10"], ["--method", "trades", "--lever", "beta"]),
    },
}
# quick: the bundled digits, by the net of MNIST; small: all five data sets, at a twelfth of their images and three
# prefixes, an afternoon; paper: everything as published, and three seeds, a GPU.
GUIDED = {
    "quick": {
        "cells": [("digits", "mnist_cnn@0.25", 0)],
        "1_train": ["--epochs", "4", "--deterministic"],
        "2_inputs": ["--deterministic"],
        "3_rank": ["--deterministic"],
        "4_retrain": ["--prefixes", "2", "--deterministic"],
    },
    "small": {
        "cells": [
            *(("mnist", "mnist_cnn", 0), ("fashion_mnist", "fashion_cnn", 0), ("cifar10", "cifar_cnn", 0)),
            *(("gtsrb", "gtsrb_cnn", 0), ("intel", "intel_cnn", 0)),
        ],
        "1_train": ["--images", "5000"],
        "4_retrain": ["--prefixes", "3"],
    },
    "paper": {
        "cells": [
            (dataset, model, seed)
            for dataset, model in (
                *(("mnist", "mnist_cnn"), ("fashion_mnist", "fashion_cnn"), ("cifar10", "cifar_cnn")),
                *(("gtsrb", "gtsrb_cnn"), ("intel", "intel_cnn")),
            )
            for seed in range(3)
        ],
        "4_retrain": ["--metric", "lsa", "dsa", "deepgini", "softmax_entropy", "neuron_coverage", "random", "margin"],
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
    "guided_retraining": {
        "stages": ("1_train", "2_inputs", "3_rank", "4_retrain"),
        "optional": (),
        "last": "5_tables",
        "presets": GUIDED,
    },
    "classwise": {
        "stages": (
            *("robust_training/1_train", "robust_training/2_test", "1_attack", *CLAIMS, "7_similar_classes"),
            *("8_temperature", "9_levers"),
        ),
        "optional": (),
        "last": "10_tables",
        "presets": CLASSWISE,
    },
}
