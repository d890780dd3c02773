"""Rows of robust training and of the class-wise study, made by hand."""

import numpy
import pytest

from reporting import row as result_row

CLASSES = ["cat", "dog", "car", "bus"]
TOTAL = [100, 100, 100, 100]


def robust_measure(value, n=1000, published=None):
    spread = {"values": [value], "spread": None, "published": published}
    return {"value": value, "n": n, **spread, "interval": [value - 3, value + 3]}


def robust(method, *, worst=40.0, seed=0, bp=40.0, robust=(0.1, 0.2, 0.3, 0.35, 0.4), role="method", published=None):
    epochs = len(robust)
    known = {
        "study": "robust_training", "dataset": "fashion_mnist", "model": "small_cnn", "method": method,
        "title": method.upper(), "role": role, "verified": True, "seeds": [seed], "repeats": 1,
        "hyperparameters": {
            "epsilon": 0.1, "images": 100, "validation": 10, "selected_epoch": 5, "last_epoch": epochs,
            "bp_epochs": bp, "stopped": False, "precision": "float32", "setup": {"title": "fast", "epochs": 10},
        },
        "measures": {
            "clean": robust_measure(80.0, published=published),
            "white-box/pgd-20@0.1": robust_measure(worst + 1),
            "white-box/worst@0.1": robust_measure(worst),
            "last/clean": robust_measure(81.0),
            "last/white-box/pgd-20@0.1": robust_measure(worst),
            "last/white-box/worst@0.1": robust_measure(worst - 1),
        },
        "checks": [], "attacks": {}, "device": "CPU, 2 cores",
    }  # fmt: skip
    course = {
        "seed": seed,
        "bp_epochs": [bp * (place + 1) / epochs for place in range(epochs)],
        "probe_robust": list(robust),
        "probe_clean": [0.8] * epochs,
        "probe_magnitude": [1.0 + place**2 for place in range(epochs)],
        "probe_lipschitz": [2.0 * place**2 for place in range(epochs)],
        "magnitude": [3.0 * place**2 + 1.0 for place in range(epochs)],
    }
    details = {"trajectories": [course], "training_s": [10.0 + seed]}
    return result_row.Row(**{**dict.fromkeys(result_row.FIELDS), **known, "details": details})


def class_measure(correct, total=TOTAL):
    n = sum(total)
    value = 100 * sum(correct) / n
    return {
        "value": value, "n": n, "values": [value], "spread": None, "interval": [value - 4, value + 4],
        "published": None, "right": list(correct), "total": list(total),
    }  # fmt: skip


def class_wise(method, robust=(10, 40, 60, 80), *, weak=None, role="method", classes=CLASSES, total=TOTAL, **more):
    weak = list(robust) if weak is None else list(weak)
    known = {
        "study": "classwise", "dataset": "digits", "model": "small_cnn", "method": method, "title": method.upper(),
        "role": role, "hyperparameters": {"epsilon": 0.1}, "verified": True, "seeds": [0], "repeats": 1, "checks": [],
        "attacks": {}, "device": "CPU", "command": "", "commit": "c",
        "measures": {
            "clean": class_measure([9 * count // 10 for count in total], total),
            "white-box/fgsm@0.1": class_measure(weak, total),
            "white-box/pgd-20@0.1": class_measure(robust, total),
            "white-box/worst@0.1": class_measure(robust, total),
        },
    }  # fmt: skip
    details = {
        "of": "robust_training",
        "classes": list(classes),
        "confusion": {"clean": numpy.diag(total).tolist(), "white-box/worst@0.1": numpy.diag(total).tolist()},
        "weight_norms": [[1.0, 2.0, 3.0, 4.0][: len(classes)]],
        "flags": {},
    }
    fields = {name: value for name, value in more.items() if name in result_row.FIELDS}
    details |= {name: value for name, value in more.items() if name not in fields}
    return result_row.Row(**{**dict.fromkeys(result_row.FIELDS), **known, **fields, "details": details})


@pytest.fixture
def robust_row():
    """``robust_row(method, worst=40.0, ...)``: a row of robust training."""
    return robust


@pytest.fixture
def class_row():
    """``class_row(method, (10, 40, 60, 80), ...)``: a row of the class-wise study; how many images of each class are
    correct in the worst case."""
    return class_wise


@pytest.fixture
def classes():
    """The names of the four classes of a class-wise row."""
    return CLASSES
