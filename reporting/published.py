"""The published numbers, read from results/published/*.csv, in percent; None if nothing was published."""

import csv
import functools
import pathlib
import statistics

FOLDER = pathlib.Path(__file__).resolve().parents[1] / "results" / "published"
DATASETS = {"cifar10": "CIFAR10", "svhn": "SVHN", "fashion_mnist": "FM"}
MODELS = {"alexnet": "AlexNet", "vgg16": "VGG16", "vgg19": "VGG19"}
METHODS = {"dare": "Dare", "adv-cw": "adv_CW", "adv-fgsm": "adv_FGSM", "adv-jsma": "adv_JSMA", "adv-pgd": "adv_PGD"}


def dare(dataset: str, model: str, method: str, measure: str) -> float | None:
    """The TOSEM paper's value of a measure ("clean" or "er/<attack>"): the mean over its nine runs of a cell.

    model: a narrower model ("alexnet@0.25") is compared with the value of the published width
    method: its name in rows; None is returned for one that was not published
    """
    cell = {"dataset": DATASETS.get(dataset), "model": MODELS.get(model.partition("@")[0])}
    if measure == "clean":
        column = method if method in ("original", "dare") else method.replace("-", "_")
        rows = [row for row in _read("dare_tosem_clean_accuracy") if cell.items() <= row.items()]
        return round(100 * float(rows[0][column]), 2) if rows and column in rows[0] else None
    kind, _, attack = measure.partition("/")
    runs = dare_runs(dataset, model, method, attack) if kind == "er" else []
    return round(statistics.mean(runs), 2) if runs else None


def dare_runs(dataset: str, model: str, method: str, attack: str) -> list[float]:
    """The published ER of each of the TOSEM paper's nine runs of a cell, in percent; [] if it is not published.

    Arguments as of `dare`; attack: its name in the catalogue
    """
    cell = {"dataset": DATASETS.get(dataset), "model": MODELS.get(model.partition("@")[0])}
    if method not in METHODS:
        return []
    rows = [
        row
        for row in _read("dare_tosem_empirical_robustness")
        if cell.items() <= row.items() and row["tested_with"].lower() == attack
    ]
    return [float(row[METHODS[method]]) for row in rows]


# cw-linf-20 is run only on images that PGD leaves correct, theirs on all images
ROBUST = {"clean": "clean", "pgd-20": "pgd20", "pgd-100": "pgd100", "worst": "autoattack"}
BASELINE = {"clean": "clean", "pgd-7": "pgd7"}


def robust(
    dataset: str,
    model: str,
    method: str | None,
    measure: str,
    epsilon: float,
    epochs: int | None = None,
    setup: str = "standard",
) -> float | None:
    """The published value of a measure of robust training on CIFAR-10 at 8/255.

    Sources: DEAT for PreAct-ResNet-18, VGG16 and DenseNet-121; TRADES and FREE for wide nets; the PGD baseline for
    ResNet-18; of robust overfitting, on other data sets too, those that robust_overfitting.csv names.

    model: a narrower model is compared with the value of the published width
    method: its published name (None: it was not published)
    measure: "clean" or "white-box/<attack>@..."; the worst case over our attacks is compared with AutoAttack
    epochs: length of training, if the value is of its last epoch; it has to match
    setup: name of the recipe, which has to match for all nets except PreAct-ResNet-18
    """
    overfitted = _overfitting(dataset, model, method, measure, epsilon, epochs, setup)
    if overfitted is not None:
        return overfitted
    if dataset != "cifar10" or abs(255 * epsilon - 8) > 0.1:
        return None
    attack = "clean" if measure == "clean" else measure.partition("/")[2].partition("@")[0]
    net = model.partition("@")[0]
    rows, columns = [], ROBUST
    if net == "preact_resnet18":
        rows = [row for row in _read("deat_cifar10_preact18") if row["method"] == method]
    elif net == "resnet18" and method == "PGD-7":
        rows, columns = [row for row in _read("nn_proposal_resnet18_pgd7") if row["epochs"] == str(epochs)], BASELINE
    elif method is not None:
        cell = {"model": net, "method": method, "setup": setup}
        rows = [row for row in _read("robust_training_other_nets") if cell.items() <= row.items()]
    value = rows[0].get(columns.get(attack)) if rows else None
    return float(value) if value else None


OVERFITTING = {"clean": "clean", "pgd-10": "pgd10", "pgd-20": "pgd20", "worst": "autoattack"}


def _overfitting(dataset, model, method, measure, epsilon, epochs, setup):
    """As `robust`, of robust_overfitting.csv at Linf: of the selected epoch, or the last of so many epochs."""
    attack = "clean" if measure == "clean" else measure.partition("/")[2].partition("@")[0]
    cell = {"dataset": dataset, "model": model.partition("@")[0], "method": method, "setup": setup}
    cell |= {"epoch": str(epochs or "selected"), "norm": "linf", "epsilon": f"{255 * epsilon:.0f}/255"}
    rows = [row for row in _read("robust_overfitting") if cell.items() <= row.items()]
    value = rows[0].get(OVERFITTING.get(attack)) if rows else None
    return float(value) if value else None


GUIDED = {"cifar10": "cifar", "fashion_mnist": "fashion"}


def guided(dataset: str, configuration: str, metric: str) -> list[tuple[int, float]]:
    """The published curve of one order of guided retraining: [(inputs, accuracy in percent)]; [] if there is none.

    The accuracy is on clean and adversarial test inputs together. The points were read from the paper's figures; the
    maximum is the printed value, to four digits.
    """
    cell = {"dataset": GUIDED.get(dataset, dataset), "configuration": configuration, "metric": metric}
    rows = [row for row in _read("guided_retraining_curves") if cell.items() <= row.items()]
    return [(int(row["inputs"]), 100 * float(row["accuracy"])) for row in rows]


def guided_best(dataset: str, configuration: str, metric: str) -> tuple[float, int] | None:
    """(the best accuracy of that curve in percent, its number of inputs), or None."""
    cell = {"dataset": GUIDED.get(dataset, dataset), "configuration": configuration, "metric": metric}
    rows = [row for row in _read("guided_retraining_best") if cell.items() <= row.items()]
    return (100 * float(rows[0]["best_accuracy"]), int(rows[0]["inputs"])) if rows else None


@functools.cache
def _read(name):
    with open(FOLDER / f"{name}.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
