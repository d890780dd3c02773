"""What slicing and mining cost beside the passes that they cannot avoid: ratios within one run.

    python benchmarks/dare_stages.py --images 8000

Every ratio is of the fastest of --repeats interleaved timings on the same images and model. Aims: slicing at most 1.3
forward passes; mining from recorded probabilities at most 1.3 times the forward passes of the chosen pairs; evaluating
every checkpoint at most 1.15 times Keras's own predict; 4 bytes a parameter a checkpoint; memory that does not grow
with the number of samples.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Callable
from typing import Any

import keras
import numpy
import timing

import data
import models
from dare import get_ats, nnslicer, transform
from models import compute
from train.history import History, confidence


def make(images: int, width: float) -> tuple[keras.Model, numpy.ndarray, numpy.ndarray]:
    """A model, random images with labels, and its name's statistics: (model, x, y)."""
    generator = numpy.random.default_rng(0)
    x = generator.integers(0, 256, (images, 28, 28, 1), dtype="uint8")
    y = numpy.arange(images) % 10
    return models.build("alexnet", (28, 28, 1), 10, preprocessing=data.statistics(x[:1000]), width=width), x, y


def make_history(
    folder: str | pathlib.Path, model: keras.Model, x: numpy.ndarray, epochs: int
) -> tuple[History, numpy.ndarray]:
    """A history of noisy copies of the model, recorded as training records it, and its labels: the model's own."""
    history, start, generator = History(folder), model.get_weights(), numpy.random.default_rng(1)
    labels = predicted(model, x)
    for epoch in range(1, epochs + 1):
        model.set_weights([w * (1 + 0.05 * generator.standard_normal(w.shape, "float32")) for w in start])
        history.save(model, epoch, *confidence(model, x, labels))
    numpy.save(history.path / "labels.npy", labels)
    return history, labels


def predicted(model: keras.Model, x: numpy.ndarray) -> numpy.ndarray:
    """The predicted classes, as labels: then about as many samples are mined as from a trained model."""
    return confidence(model, x, numpy.zeros(len(x), int))[1].astype("int64")


def mine(
    model: keras.Model, history: History, x: numpy.ndarray, y: numpy.ndarray, folder: str | pathlib.Path, **options: Any
) -> get_ats.Targets:
    """Mine a history into a file in `folder`. options: of get_ats.mine_history."""
    return get_ats.mine_history(model, history, x, y, path=pathlib.Path(folder) / "targets.h5", **options)


def chosen_passes(model: keras.Model, history: History, x: numpy.ndarray, targets: get_ats.Targets) -> None:
    """The floor of mining: the forward pass of every chosen (sample, epoch) pair, nothing kept."""
    run = compute.forward(transform.transform(model))
    for epoch in numpy.unique(targets.epoch):
        history.load_weights(model, int(epoch))
        rows = targets.index[targets.epoch == epoch]
        for start in range(0, len(rows), 256):
            numpy.asarray(run(data.to_unit(x[rows[start : start + 256]])))
    history.load_weights(model, history.last)


def checkpoints(model: keras.Model, history: History, epochs: list[int], evaluate: Callable) -> None:
    """Call `evaluate()` under the weights of each epoch, then load the final ones."""
    for epoch in epochs:
        history.load_weights(model, epoch)
        evaluate()
    history.load_weights(model, history.last)


def peak(folder: str | pathlib.Path, images: int, width: float) -> float:
    """MiB that mining adds at its peak to a process that has loaded the model and the images."""
    model, x, _ = make(images, width)
    history = History(pathlib.Path(folder) / "history")
    history.load_weights(model, history.last)
    pathlib.Path("/proc/self/clear_refs").write_text("5")  # the peak counts anew from here (Linux)
    before = resident("VmRSS")
    mine(model, history, x, numpy.load(history.path / "labels.npy"), folder)
    return resident("VmHWM") - before


def resident(what: str) -> float:
    """MiB of this process's memory: VmRSS now, VmHWM at its peak."""
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(what)) / 1024


def main(arguments: argparse.Namespace) -> None:
    model, x, y = make(arguments.images, arguments.width)
    model.compile(jit_compile=False)
    with tempfile.TemporaryDirectory() as folder:
        history, labels = make_history(pathlib.Path(folder) / "history", model, x, 6)
        targets = mine(model, history, x, labels, folder)
        epochs = get_ats.second_half(history)
        unit = data.to_unit(x)
        jobs = {
            "forward": lambda: compute.predict(compute.forward(model), x, prepare=data.to_unit),
            "slicing": lambda: nnslicer.slice_model(model, x, y, batch_size=256),
            "chosen_passes": lambda: chosen_passes(model, history, x, targets),
            "mining": lambda: mine(model, history, x, labels, folder),
            "keras_predict": lambda: checkpoints(
                model, history, epochs, lambda: model.predict(unit, batch_size=256, verbose=0)
            ),
            "evaluating": lambda: checkpoints(model, history, epochs, lambda: confidence(model, x, y)),
        }
        seconds, _ = timing.fastest(jobs, arguments.repeats)
        size = history.file(1, "weights").stat().st_size / model.count_params()
    grown = []
    for count in (arguments.images // 4, arguments.images):
        with tempfile.TemporaryDirectory() as folder:
            net, pixels, _ = make(count, arguments.width)
            make_history(pathlib.Path(folder) / "history", net, pixels, 4)
            command = [
                sys.executable,
                __file__,
                "--width",
                str(arguments.width),
                "--images",
                str(count),
                "--peak",
                folder,
            ]
            grown.append(float(subprocess.run(command, capture_output=True, text=True, check=True).stdout))
    print(f"{arguments.images} images, AlexNet x {arguments.width:g}, {len(targets.index)} chosen pairs")
    print(f"slicing / forward pass                    {seconds['slicing'] / seconds['forward']:.2f}   (aim 1.30)")
    print(f"mining / forward passes of chosen pairs   {seconds['mining'] / seconds['chosen_passes']:.2f}   (aim 1.30)")
    print(
        f"evaluating / Keras predict, a checkpoint  {seconds['evaluating'] / seconds['keras_predict']:.2f}   (aim 1.15)"
    )
    print(f"bytes a parameter a checkpoint            {size:.3f}  (aim 4)")
    print(
        f"memory that mining adds                   {grown[0]:.0f} MiB at a quarter of the images, {grown[1]:.0f} MiB"
    )
    print(json.dumps({name: round(value, 3) for name, value in seconds.items()}))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=8000)
    parser.add_argument("--width", type=float, default=1.0)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--peak", help="only print the memory that mining the history in this folder adds")
    options = parser.parse_args()
    if options.peak:
        print(peak(options.peak, options.images, options.width))
    else:
        main(options)
