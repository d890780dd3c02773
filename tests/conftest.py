"""Small models, data and result rows that several rooms' tests share. Determinism is on: equality is of bits."""

import types

import keras
import numpy
import pytest

from data import files, ledger
from models import compute
from reporting import row as result_row

compute.deterministic()


@pytest.fixture(autouse=True)
def seeded():
    keras.utils.set_random_seed(0)


@pytest.fixture
def unfinish():
    """``unfinish(folder, *lost)``: make of a finished stage one that was killed before its end, and before it wrote the
    files `lost`."""

    def unfinish(folder, *lost):
        record = files.read_sealed(folder / "run.json")
        outputs = {name: digest for name, digest in record["outputs"].items() if name not in lost}
        for name in ("run.json", *lost):
            (folder / name).unlink()
        files.write_sealed(folder / "started.json", record)
        (folder / ledger.NAME).write_text(
            "".join(f"{digest}  {name}\nnamed  {name}\n" for name, digest in outputs.items())
        )

    return unfinish


@pytest.fixture
def images():
    """48 random uint8 images of 12x12x2 with every one of three labels."""
    generator = numpy.random.default_rng(0)
    return generator.integers(0, 256, (48, 12, 12, 2), dtype="uint8"), numpy.arange(48) % 3


@pytest.fixture
def small_net():
    """A convolutional classifier with batch norm, dropout and a fused ReLU: 12x12x2 -> 3 logits."""
    layers = keras.layers
    inputs = keras.Input((12, 12, 2))
    x = layers.Conv2D(4, 3, name="conv1")(inputs)
    x = layers.BatchNormalization(name="bn1")(x)
    x = layers.ReLU(name="relu1")(x)
    x = layers.MaxPooling2D(name="pool1")(x)
    x = layers.Conv2D(6, 3, padding="same", activation="relu", name="conv2")(x)
    x = layers.MaxPooling2D(name="pool2")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(8, activation="relu", name="dense1")(x)
    x = layers.Dropout(0.5, name="dropout1")(x)
    return keras.Model(inputs, layers.Dense(3, name="logits")(x), name="small")


def measure(*values, n=950, published=None, interval=None):
    """One measure of a row, as reporting.row makes it."""
    mean = sum(values) / len(values)
    spread = (sum((value - mean) ** 2 for value in values) / (len(values) - 1)) ** 0.5 if len(values) > 1 else None
    fields = {"value": mean, "n": n, "values": list(values), "spread": spread, "published": published}
    return fields if interval is None else fields | {"interval": interval}


def row(method, role, title=None, measures=None, **changes):
    """One row; measures: name -> measure."""
    fields = {
        "study": "dare",
        "dataset": "fashion_mnist",
        "model": "alexnet",
        "method": method,
        "title": title or method,
        "role": role,
        "verified": True,
        "hyperparameters": {"width": 0.25, "epochs": 24},
        "seeds": [0],
        "repeats": 3,
        "measures": measures or {"clean": measure(88.4, n=10000)},
        "attacks": {"fgsm": {"attack": "fgsm", "norm": "linf", "epsilons": 1000}},
        "command": "python scripts/dare/7_test.py",
        "commit": "0123456",
        "device": "CPU",
    }
    return fields | changes


def line(method, role, clean, *robustness, repeats=3, seen=(), **changes):
    """A whole row: ER on fgsm, pgd, deepfool, and everything that is derived from it here."""
    measures = {"clean": measure(*[clean] * repeats, n=10000, interval=[clean - 0.6, clean + 0.6])}
    for attack, value in zip(("fgsm", "pgd", "deepfool"), robustness, strict=True):
        values = [value + step for step in (-0.4, 0.1, 0.3)[:repeats]]
        published = {"fgsm": 64.5, "pgd": 76.3}.get(attack) if attack in seen else None
        interval = [max(0, value - 3.1), min(100, value + 3.1)]
        measures[f"er/{attack}"] = measure(*values, published=published, interval=interval)
        measures[f"er-heldout/{attack}"] = measure(*(0.97 * each for each in values), n=480, interval=interval)
        measures[f"er-x1.1/{attack}"] = measure(*(0.9 * each for each in values), interval=interval)
        measures[f"er-x1.5/{attack}"] = measure(*(0.6 * each for each in values), interval=interval)
    measures["er/worst"] = measure(*(0.9 * min(robustness) for _ in range(repeats)), n=930)
    measures["white-box/pgd@0.02"] = measure(*[clean - 50 + robustness[0] / 20] * repeats, n=1000)
    measures["white-box/pgd@0.1"] = measure(*[robustness[0] / 50] * repeats, n=1000)
    measures["minimal/fgsm"] = measure(*[0.008 + robustness[0] / 20000] * repeats, n=1000)
    return row(method, role, measures=measures, repeats=repeats, **changes)


def whole(fields):
    """The Row of a dictionary: a field that it lacks is not known, what is no field is a detail."""
    details = {name: value for name, value in fields.items() if name not in result_row.FIELDS}
    known = {name: value for name, value in fields.items() if name not in details}
    return result_row.Row(**{**dict.fromkeys(result_row.FIELDS), **known, "details": details})


@pytest.fixture
def synthetic():
    """The functions that make measures and rows: synthetic.measure, .row, .line; .whole makes one a Row."""
    return types.SimpleNamespace(measure=measure, row=row, line=line, whole=whole)


@pytest.fixture
def rows():
    """The original, DARE, a baseline and two controls, in no order."""
    dare = {"width": 0.25, "epochs": 24, "learning_rate": 1e-4, "combine": "intersection"}
    return [
        line("swa", "control", 87.8, 67.0, 77.0, 66.0, repeats=1, title="average of checkpoints"),
        line("adv-pgd", "baseline", 86.8, 75.0, 79.0, 77.0, seen=("fgsm", "pgd"), title="fine-tuned on pgd"),
        line("weight-noise", "control", 88.0, 22.0, 36.0, 9.0, title="Gaussian noise"),
        line("dare", "method", 88.2, 62.0, 68.0, 61.0, seen=("fgsm", "pgd"), title="DARE", hyperparameters=dare),
        line("original", "original", 88.6, 0.5, 0.5, 0.5, repeats=1, title="original"),
    ]
