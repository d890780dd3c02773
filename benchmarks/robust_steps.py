"""Cost of a step of robust training, relative to the forward and backward passes that it needs.

    python benchmarks/robust_steps.py --model preact_resnet18@0.125 --dataset cifar10

One process, a batch of real images, weights trained for a few steps. Each job runs once to compile, then in turn with
the others; the fastest of --repeats counts. Times depend on the machine and its other work: compare ratios within a
run; aims are in brackets.

    PGD-10      10 attack steps and an update / 10 input gradients in the same batch-norm mode and an update
    TRADES      clean softmax computed once a batch / computed at each attack step
    FREE-8      8 replays / 8 updates
    FAT         K 10, tau 3 / PGD-10 in eval mode: its time, beside the ratio of passes
    AWP         PGD-10 and an update at moved weights / the passes that it takes, 10 input gradients and two updates
    EMA         PGD-10 and the average of the weights after it / PGD-10
    N-FGSM      a step and an update / an input gradient and an update
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from collections.abc import Callable

import keras
import numpy
import timing

import data
import models
from models import compute, perturb, updates
from models.compute.variables import Tensor
from train import robust
from train.robust import adversarial, losses, perturbation
from train.robust.average import Average
from train.robust.optimizer import CoupledSGD

EPSILON = 8 / 255


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="digits")
    parser.add_argument("--model", default="preact_resnet18@0.125")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--warm-up", type=int, default=60, help="steps of PGD-2 training first")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", nargs="+", default=[""], help="beginnings of the lines to measure, such as AWP EMA")
    parser.add_argument("--cpu-time", action="store_true", help="seconds of all cores, less disturbed by other work")
    arguments = parser.parse_args()
    clock = time.process_time if arguments.cpu_time else time.perf_counter
    model, images, labels, batches = prepare(arguments)
    ratios = {name: pair for name, pair in RATIOS.items() if name.startswith(tuple(arguments.only))}
    needed = {job for pair in ratios.values() for job in pair[:2]}
    chosen = {name: job for name, job in jobs(model, images, labels, batches).items() if name in needed}
    seconds, passes = timing.fastest(chosen, arguments.repeats, clock=clock)
    print(f"{compute.BACKEND}, {arguments.model} on {arguments.dataset}, batches of {len(images)}")
    for name, (job, reference, aim) in ratios.items():
        aim = aim or f"passes {passes[job] / passes[reference]:.2f}"
        ratio = f"{seconds[job]:.3f} s / {seconds[reference]:.3f} s = {seconds[job] / seconds[reference]:.2f}"
        print(f"{name}: {ratio} ({aim})")


RATIOS = {
    "PGD-10, train mode / 10 input gradients and an update": ("pgd-10", "floor", "<= 1.15"),
    "PGD-10, eval mode / 10 input gradients and an update": ("pgd-10-eval", "floor-eval", "<= 1.15"),
    "TRADES, clean softmax once / at every step": ("trades", "trades-anew", "<= 0.82"),
    "FREE-8 / 8 updates": ("free-8", "updates", "no more than the gradient of the images"),
    "FAT / PGD-10 in eval mode": ("fat", "pgd-10-eval", None),
    "AWP, 10 steps / 10 input gradients and two updates": ("awp", "floor-two", "<= 1.05"),
    "EMA of the weights after PGD-10 / PGD-10": ("ema", "pgd-10", "<= 1.02"),
    "N-FGSM / an input gradient and an update": ("n-fgsm", "floor-one", "<= 1.10"),
}


def prepare(arguments: argparse.Namespace) -> tuple[keras.Model, numpy.ndarray, numpy.ndarray, Callable]:
    """(briefly trained model, images, labels, ``batches(name)`` -> a strategy's function of a batch)."""
    keras.utils.set_random_seed(0)
    dataset = data.load(arguments.dataset)
    model = models.build(arguments.model, dataset.x_train.shape[1:], len(dataset.classes))
    scale = numpy.ones(dataset.x_train.shape[-1], "float32")

    def batches(name, **changes):
        strategy = changes.pop("strategy", None) or robust.METHODS[name].strategy
        return strategy.batch(model, CoupledSGD(0.01), epsilon=EPSILON, scale=scale, **changes)

    train, generator = batches("pgd-7"), numpy.random.default_rng(0)
    for _ in range(arguments.warm_up):
        rows = generator.integers(len(dataset.x_train), size=arguments.batch_size)
        train(data.to_unit(dataset.x_train[rows]), dataset.y_train[rows].astype("int32"), 2, generator)
    rows = generator.integers(len(dataset.x_train), size=arguments.batch_size)
    return model, data.to_unit(dataset.x_train[rows]), dataset.y_train[rows].astype("int32"), batches


def jobs(model: keras.Model, images: numpy.ndarray, labels: numpy.ndarray, batches: Callable) -> dict[str, Callable]:
    """name -> function that runs the job and returns its passes per image."""
    scale = numpy.ones(images.shape[-1], "float32")
    gradients = {training: compute.compiled(model, input_gradient, training=training) for training in (True, False)}
    update = updates.train_step(model, CoupledSGD(0.01), adversarial.cross_entropy)
    evaluated = dataclasses.replace(robust.METHODS["fat"].strategy, friendly=None)
    anew = compute.compiled(model, trades_step)
    objective = adversarial.paired(losses.trades, robust.METHODS["trades"].strategy.update_order)
    paired = updates.train_step(model, CoupledSGD(0.01), objective)

    def floor(gradient, steps=10, count=1):
        def job():
            for _ in range(steps):
                last = gradient(images, labels)
            numpy.asarray(last)
            for _ in range(count):
                value = update(images, images, labels, scale, 1.0, 0.0)[0]
            return float(value)

        return job

    def updating():
        for _ in range(8):
            value = update(images, images, labels, scale, 1.0, 0.0)[0]
        return float(value)

    def trades_anew():
        current = perturbation.begin(images, EPSILON, "gaussian", numpy.random.default_rng(0))
        for _ in range(10):
            current = anew(current, images, EPSILON, EPSILON * 0.25)
        return float(paired(current, images, labels, scale, 1.0, 6.0)[0])

    def strategy(run, steps, after=None):
        def job():
            outcome = run(images, labels, steps, numpy.random.default_rng(0))
            if after is not None:
                after("batch", 0.0)
            float(outcome.loss)
            return outcome.passes

        return job

    return {
        "floor": floor(gradients[True]),
        "floor-eval": floor(gradients[False]),
        "updates": updating,
        "pgd-10": strategy(batches("pgd-10"), 10),
        "pgd-10-eval": strategy(batches("fat", strategy=evaluated), 10),
        "trades": strategy(batches("trades"), 10),
        "trades-anew": trades_anew,
        "free-8": strategy(batches("free-8"), 8),
        "fat": strategy(batches("fat"), 10),
        "awp": strategy(batches("awp"), 10),
        "floor-two": floor(gradients[True], count=2),
        "ema": strategy(batches("pgd-10"), 10, Average(robust.AVERAGES["ema"], model).after),
        "n-fgsm": strategy(batches("n-fgsm"), 1),
        "floor-one": floor(gradients[True], steps=1),
    }


def input_gradient(call: Callable, images: Tensor, labels: Tensor) -> Tensor:
    """The pass that each attack step needs: d sum of cross-entropies / d images."""
    return compute.gradient(lambda x: (perturb.cross_entropy(call(x), labels), ()), images, call)[1]


def trades_step(call: Callable, current: Tensor, images: Tensor, epsilon: Tensor, step_size: Tensor) -> Tensor:
    """A step of TRADES' attack that computes the softmax of the clean images itself."""
    log_p = keras.ops.log_softmax(call(images))
    (_, _), gradient = compute.gradient(lambda x: (losses.divergence_from(call(x), log_p), ()), current, call)
    return perturb.move(current, images, gradient, epsilon, step_size)


if __name__ == "__main__":
    main()
