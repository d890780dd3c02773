"""Time to score candidates of a search from cached activations, and of a whole NeuRecover run.

    python benchmarks/repair.py --model alexnet@0.25 --images 500 --candidates 20
    python benchmarks/repair.py --generations 100                 # NeuRecover to its end, without scaling up

Candidates: against loading each one's weights and predicting. Both score the same candidates on the same images in one
run, and the logits must agree. Aim: 20 times faster where all located weights are in the last dense layer; where they
are in a hidden dense layer only what follows it is run, and in the first convolution nothing is saved.

Whole run: NeuRecover of the published size (100 particles) on the images' shape of CIFAR-10, with a random net and
history, from locating to the last generation. A few generations are timed, in seconds of wall clock and of all cores of
this process; "at most" scales the search up to all 10,100 evaluations. Aim: five minutes on two cores.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import tempfile
import time
from collections.abc import Callable

import keras
import numpy
import timing

import data
import models
from dare.repair import candidates, catalogue, kernels, problem
from models import compute
from train.history import History, confidence

EVALUATIONS = 10_100  # of NeuRecover: 100 particles, at the start and in 100 iterations


def job(
    model: keras.Model, name: str, x: numpy.ndarray, count: int, located: int, seed: int = 0
) -> tuple[Callable, Callable]:
    """(cached scoring, loading and predicting) of `count` candidates for entries of one layer, as functions."""
    layer, generator = model.get_layer(name), numpy.random.default_rng(seed)
    size = int(numpy.prod(layer.kernel.shape))
    entries = kernels.Entries({name: numpy.sort(generator.choice(size, min(size, located), replace=False))})
    original = model.get_weights()
    positions = generator.normal(0, 0.05, (count, len(entries)))
    scored = candidates.Candidates(model, original, entries, [x])

    def load_and_predict():
        logits = []
        with models.keeping_weights(model, original):
            for values in positions:
                model.set_weights(entries.written(model, original, values.astype("float32")))
                logits.append(compute.predict(compute.forward(model), x, prepare=data.to_unit))
        return numpy.stack(logits)

    return lambda: scored.logits(positions), load_and_predict


def net_that_errs(name: str, failures: int, folder: pathlib.Path) -> problem.Problem:
    """A random net, a history of two epochs and so many failing images of 32x32x3, with some that regressed between."""
    generator = numpy.random.default_rng(0)
    x = generator.integers(0, 256, (10 * failures, 32, 32, 3), dtype="uint8")
    model, history, predicted = models.build(name, x.shape[1:], 10), History(folder), []
    start, last = model.get_weights(), model.get_layer("logits")
    weights = [[w * (1 + 0.05 * generator.standard_normal(w.shape, "float32")) for w in start], start]
    for epoch, values in enumerate(weights, start=1):
        model.set_weights(values)
        kernel, bias = last.get_weights()
        logits = compute.predict(compute.forward(model), x, prepare=data.to_unit)
        last.set_weights([kernel, bias - logits.mean(axis=0)])  # else one class is predicted of all images
        weights[epoch - 1] = model.get_weights()
        predicted.append(confidence(model, x, numpy.zeros(len(x), int))[1])
    order = generator.random(len(x))
    y = numpy.select([order < 0.7, order < 0.9], predicted[::-1], generator.integers(0, 10, len(x))).astype("int64")
    for epoch, values in enumerate(weights, start=1):
        model.set_weights(values)
        history.save(model, epoch, *confidence(model, x, y))
    return problem.make(model, history, x, y, x_train=x, most_failures=failures)


def whole(method: str, task: problem.Problem, generations: int) -> dict:
    """Seconds of a whole run, wall clock and processor, and what it located."""
    chosen, clocks = catalogue.method(method, generations=generations), (time.perf_counter, time.process_time)
    began = [clock() for clock in clocks]
    entries, located = chosen.locate(task)
    found = [clock() for clock in clocks]
    facts = chosen.searched(task, entries, located).facts
    ended = [clock() for clock in clocks]
    result = {"failures": len(task.failures), **facts}
    for place, name in enumerate(("wall", "processor")):
        search = ended[place] - found[place]
        all_evaluations = found[place] - began[place] + search * EVALUATIONS / facts["evaluations"]
        result[f"{name} s"] = round(ended[place] - began[place], 2)
        result[f"{name} s of {EVALUATIONS} evaluations, at most"] = round(all_evaluations, 1)
    return result


def main(arguments: argparse.Namespace) -> None:
    generator = numpy.random.default_rng(0)
    x = generator.integers(0, 256, (arguments.images, 28, 28, 1), dtype="uint8")
    model = models.build(arguments.model, x.shape[1:], 10)
    names = [candidates.last_dense(model), "dense2", "dense1", "conv1"]
    result = {}
    for name in names:
        ours, theirs = job(model, name, x, arguments.candidates, arguments.located)
        seconds, logits = timing.fastest({"cached": ours, "loaded": theirs}, arguments.repeats, clock=time.process_time)
        numpy.testing.assert_allclose(logits["cached"], logits["loaded"], rtol=1e-3, atol=1e-3)
        result[name] = {"seconds": seconds, "times faster": round(seconds["loaded"] / max(seconds["cached"], 1e-3), 1)}
    with tempfile.TemporaryDirectory() as folder:
        task = net_that_errs(arguments.model, arguments.failures, pathlib.Path(folder) / "history")
        for name in ("neurecover-dense", "neurecover"):
            result[name] = whole(name, task, arguments.generations)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="alexnet@0.25")
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--candidates", type=int, default=20)
    parser.add_argument("--located", type=int, default=100, help="entries of each layer")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--failures", type=int, default=300, help="failing images that NeuRecover repairs")
    parser.add_argument("--generations", type=int, default=1, help="of NeuRecover's swarm that are run and timed")
    main(parser.parse_args())
