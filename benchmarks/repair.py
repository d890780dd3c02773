"""Time to score candidates of a search from cached activations, against loading each one's weights and predicting.

    python benchmarks/repair.py --model alexnet@0.25 --images 500 --candidates 20

Both score the same candidates on the same images in one run, and the logits must agree. Aim: 20 times faster where all
located weights are in the last dense layer; where they are in a hidden dense layer only what follows it is run, and in
the first convolution nothing is saved.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable

import keras
import numpy
import timing

import data
import models
from dare.repair import candidates, kernels
from models import compute


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
        result[name] = {"seconds": seconds, "times faster": round(seconds["loaded"] / seconds["cached"], 1)}
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="alexnet@0.25")
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--candidates", type=int, default=20)
    parser.add_argument("--located", type=int, default=100, help="entries of each layer")
    parser.add_argument("--repeats", type=int, default=1)
    main(parser.parse_args())
