"""Speed of guided retraining: its metrics, compared with libraries and with the forward passes they need; its prefixes.

    python benchmarks/guided.py                # CIFAR-10's size: 47,999 inputs, 41,999 references, 64 columns
    python benchmarks/guided.py --scale 0.1

Activations are random, for the last line a net's own. Compare ratios within a run; aims are in brackets. Slow methods
run on --subset inputs, are extrapolated linearly, and their scores are compared with ours. dnn-tip (pip install
dnn-tip) is compared if it is installed.
"""

import argparse
import importlib.util
import time
from collections.abc import Callable
from typing import Any

import keras
import numpy
import scipy.stats
import timing

import data
import models
from adv.guided import configuration, ordering, retraining, surprise
from models import compute


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=1.0, help="fraction of CIFAR-10's inputs and references")
    parser.add_argument("--subset", type=int, default=200, help="inputs for slow methods")
    parser.add_argument("--images", type=int, default=4000, help="of the net's own activations")
    arguments = parser.parse_args()
    generator = numpy.random.default_rng(0)
    references, inputs = round(41_999 * arguments.scale), round(47_999 * arguments.scale)
    train_classes, classes = (generator.integers(0, 10, count) for count in (references, inputs))
    centres = generator.normal(size=(10, 64))
    train = (centres[train_classes] + generator.normal(size=(references, 64))).astype("float32")
    rows = (centres[classes] + generator.normal(size=(inputs, 64))).astype("float32")
    rows[: references // 2] = train[: references // 2]
    classes[: references // 2] = train_classes[: references // 2]
    few = numpy.linspace(0, inputs - 1, arguments.subset).astype(int)
    print(f"{inputs} inputs, {references} references, 64 columns; slow methods on {len(few)} inputs")
    whole = dsa(train, train_classes, rows, classes, few)
    lsa(train, train_classes, rows, classes, few)
    if importlib.util.find_spec("dnn_tip"):
        tip(train, train_classes, rows, classes, few, whole)
    else:
        print("dnn-tip is not installed: not compared")
    metrics(arguments.images)
    retrainings(arguments.images)


def timed(function: Callable, *values: Any, **settings: Any) -> tuple[Any, float]:
    """(the result of ``function(*values, **settings)``, its seconds)."""
    started_at = time.perf_counter()
    result = function(*values, **settings)
    return result, time.perf_counter() - started_at


def dsa(
    train: numpy.ndarray, train_classes: numpy.ndarray, rows: numpy.ndarray, classes: numpy.ndarray, few: numpy.ndarray
) -> tuple[numpy.ndarray, float]:
    """Ours on all inputs, and naively in float64 on a few: (our scores, our seconds)."""
    scores, seconds = timed(surprise.dsa, train, train_classes, rows, classes)
    exact, naive = timed(naive_dsa, train.astype(float), train_classes, rows[few].astype(float), classes[few])
    naive *= len(rows) / len(few)
    error = numpy.abs(scores[few] - exact).max()
    print(f"DSA: {seconds:.1f} s; in float64, extrapolated {naive:.0f} s: {naive / seconds:.0f} times as fast, "
          f"largest difference {error:.1e} (<= 1e-6)")  # fmt: skip
    return scores, seconds


def naive_dsa(
    train: numpy.ndarray, train_classes: numpy.ndarray, rows: numpy.ndarray, classes: numpy.ndarray
) -> numpy.ndarray:
    """DSA of each row by its definition, one row at a time: (N,)."""
    scores = []
    for row, label in zip(rows, classes, strict=True):
        inside = train[train_classes == label]
        near = numpy.sqrt(((inside - row) ** 2).sum(axis=1))
        nearest = inside[near.argmin()]
        far = numpy.sqrt(((train[train_classes != label] - nearest) ** 2).sum(axis=1)).min()
        scores.append(near.min() / far)
    return numpy.array(scores)


def lsa(
    train: numpy.ndarray, train_classes: numpy.ndarray, rows: numpy.ndarray, classes: numpy.ndarray, few: numpy.ndarray
) -> None:
    """Print the time of our LSA, and of scipy's a point at a time on a few inputs."""
    scores, seconds = timed(surprise.lsa, train, train_classes, rows, classes)
    kernels = {label: scipy.stats.gaussian_kde(train[train_classes == label].T.astype(float)) for label in range(10)}

    def points():
        pairs = zip(rows[few].astype(float), classes[few], strict=True)
        return [-kernels[label].logpdf(row)[0] for row, label in pairs]

    exact, slow = timed(points)
    slow *= len(rows) / len(few)
    error = numpy.abs(scores[few] / exact - 1).max()
    faster = f"{slow / seconds:.0f} times as fast (>= 20), largest relative difference {error:.1e} (<= 1e-10)"
    print(f"LSA: {seconds:.1f} s; scipy's gaussian_kde a point at a time, extrapolated {slow:.0f} s: {faster}")


def tip(
    train: numpy.ndarray,
    train_classes: numpy.ndarray,
    rows: numpy.ndarray,
    classes: numpy.ndarray,
    few: numpy.ndarray,
    whole: tuple[numpy.ndarray, float],
) -> None:
    """Print the time of dnn-tip's DSA on a few inputs, and how far its scores and its LSA's lie from ours.

    whole: our scores and seconds for all.
    """
    from dnn_tip.surprise import DSA, LSA, MultiModalSA

    theirs = DSA([train], train_classes)
    expected, seconds = timed(theirs, [rows[few]], classes[few])
    seconds *= len(rows) / len(few)
    scores, ours = whole
    error = numpy.nanmax(numpy.abs(scores[few] - expected))
    print(f"DSA, dnn-tip extrapolated: {seconds:.0f} s: ours {seconds / ours:.0f} times as fast (>= 20), "
          f"largest difference {error:.1e}")  # fmt: skip
    for what, change in HOSTILE.items():
        parts = change(train[:3000]), train_classes[:3000], change(rows[few]), classes[few]
        each = MultiModalSA.build_by_class(
            [parts[0]], parts[1], lambda values, _: LSA(values, var_threshold=1e-5, max_features=None)
        )
        likelihood = numpy.abs(surprise.lsa(*parts) / each([parts[2]], parts[3]) - 1).max()
        distance = numpy.nanmax(numpy.abs(surprise.dsa(*parts) - DSA([parts[0]], parts[1])([parts[2]], parts[3])))
        print(f"LSA, DSA beside dnn-tip's, {what}: largest difference {likelihood:.1e} (relative), {distance:.1e}")


def _near_threshold(values):
    changed = values.copy()
    changed[:, 0] *= numpy.sqrt(0.99e-5)
    return changed


HOSTILE = {  # dnn-tip's DSA of 0 / 0 is NaN, ours 0; its LSA leaves a column out class by class, ours in all
    "random": lambda values: values,
    "ties": lambda values: numpy.round(2 * values) / 2,
    "a column of too little variance in some classes": _near_threshold,
    "values of 10,000": lambda values: 1e4 * values,
}


def metrics(count: int) -> None:
    """Time of all six metrics on a net's activations, relative to two forward passes and LSA's and DSA's products."""
    dataset = data.load("digits")
    x = numpy.concatenate([data.to_unit(dataset.x_train)] * (1 + count // len(dataset.x_train)))[:count]
    model = models.build("mnist_cnn", x.shape[1:], 10)
    retraining.traces(model, x[:512])
    forward = compute.forward(model)
    _, once = timed(compute.predict, forward, x, batch_size=512)
    _, passes = timed(lambda: [compute.predict(forward, x, batch_size=512) for _ in range(2)])
    activations, classes, p = retraining.traces(model, x)
    activations = activations + 0.1 * numpy.random.default_rng(0).normal(size=activations.shape)
    classes = numpy.random.default_rng(1).integers(0, 10, len(classes))
    reference = activations[: round(0.875 * count)], classes[: round(0.875 * count)]

    def products():
        for label in range(10):
            inside, own = reference[0][reference[1] == label], activations[classes == label]
            outside = reference[0][reference[1] != label]
            numpy.exp(own @ inside.T).sum()  # LSA's densities
            (own.astype("float32") @ inside.T.astype("float32")).min(axis=1)
            (inside.astype("float32") @ outside.T.astype("float32")).min(axis=1)

    with numpy.errstate(over="ignore"):
        _, floor = timed(products)
    context = ordering.Context(*reference, activations, classes, p)
    shown = {}
    for name in ("lsa", "dsa", "deepgini", "softmax_entropy", "neuron_coverage", "random"):
        _, shown[name] = timed(ordering.METRICS[name].score, context)
    total = sum(shown.values())
    listed = ", ".join(f"{name} {seconds:.2f}" for name, seconds in shown.items())
    share = f"{total / (passes + floor):.2f} of them (<= 1; one pass {once:.2f} s)"
    print(f"six metrics of {count} images of {x.shape[1:]}: {total:.2f} s ({listed})")
    print(f"two forward passes {passes:.2f} s and the products {floor:.2f} s: {share}")


def retrainings(count: int) -> None:
    """Processor time of the prefixes of an order, with their measures, relative to plain fits of as many images."""
    dataset = data.load("digits")
    repeated = 1 + count // len(dataset.x_train)
    x = numpy.concatenate([data.to_unit(dataset.x_train)] * repeated)[:count]
    y = numpy.concatenate([dataset.y_train] * repeated)[:count].astype("int32")
    model, plain = (models.build("mnist_cnn", x.shape[1:], 10) for _ in range(2))
    weights, recipe = model.get_weights(), retraining.Recipe(epochs=2)
    sizes = configuration.prefixes(count, count=4)
    tests = {"clean": (x[: count // 8], y[: count // 8]), "adversarial": (x[-count // 8 :], y[-count // 8 :])}
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    plain.compile(recipe.optimizer, loss, jit_compile=False)

    def ours():
        for size in sizes:
            retraining.fit(model, weights, x[:size], y[:size], recipe=recipe, seed=0)
            retraining.measure_parts(model, tests)

    def floor():
        for size in sizes:
            plain.fit(x[:size], y[:size], batch_size=recipe.batch_size, epochs=recipe.epochs, verbose=0)

    seconds, _ = timing.fastest({"ours": ours, "plain": floor}, clock=time.process_time)
    print(f"{len(sizes)} prefixes of {count} images, trained and measured: {seconds['ours']:.1f} s of processor time, "
          f"{seconds['ours'] / seconds['plain']:.2f} of plain fits of as many images and epochs (<= 1.1)")  # fmt: skip


if __name__ == "__main__":
    main()
