"""Disk and time of mining while training, compared with mining the stored second half of the history.

    python benchmarks/mining.py --dataset digits --model alexnet@0.5 --epochs 20

A single training stores both, so ratios are of the same epochs on the same machine, and the targets must agree bit for
bit. The disk for mining while training grows with the images (at most three activations each), not with the epochs;
that for checkpoints grows with parameters and epochs. Aim: at most a tenth more training time. The disk for the
published size, 100 stored checkpoints of 200 epochs, is printed too.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import pathlib
import tempfile
import time
from collections.abc import Callable, Iterable

import keras
import numpy

import data
import models
from dare import get_ats, online, online_store
from train import params
from train.fit import fit
from train.history import History


def build(arguments: argparse.Namespace) -> tuple[keras.Model, data.Split, params.Recipe]:
    """(model, split, recipe)."""
    split = data.half_split(data.load(arguments.dataset, arguments.data_dir, unverified=True), 0)
    shape = split.x_train.shape[1:]
    statistics = data.statistics(split.x_train)
    model = models.build(arguments.model, shape, len(split.classes), preprocessing=statistics)
    return model, split, dataclasses.replace(params.recipe(arguments.model, shape), batch_size=64)


def train(
    model: keras.Model, split: data.Split, recipe: params.Recipe, folder: pathlib.Path, epochs: int
) -> tuple[History, float, list[float]]:
    """Train with mining, storing the second half of the checkpoints.

    Returns (history, seconds in all, seconds of mining in each mined epoch).
    """
    history, seconds = History(folder / "history"), []
    miner = online.Miner(folder / "mined", model, history, split.x_validation, split.y_validation, epochs=epochs)

    def observe(model, epoch, *record):
        start = time.perf_counter()
        miner.observe(model, epoch, *record)
        if epoch in get_ats.window(epochs):
            seconds.append(time.perf_counter() - start)

    start = time.perf_counter()
    fit(model, split, recipe=recipe, history=history, seed=0, epochs=epochs, keep="second-half", observe=observe)
    return history, time.perf_counter() - start, seconds


def fastest(repeats: int, **jobs: Callable) -> dict[str, tuple]:
    """name -> (seconds of the fastest of `repeats` runs, result); jobs take turns, after an untimed round."""
    best = {}
    for repeat in range(repeats + 1):
        for name, job in jobs.items():
            start = time.perf_counter()
            result = job()
            seconds = time.perf_counter() - start
            if repeat:
                best[name] = (min(best[name][0], seconds) if name in best else seconds, result)
    return best


def size(paths: Iterable[pathlib.Path]) -> int:
    """Bytes of all files together."""
    return sum(path.stat().st_size for path in paths)


def main(arguments: argparse.Namespace) -> None:
    model, split, recipe = build(arguments)
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        history, training, observing = train(model, split, recipe, folder, arguments.epochs)
        store = online_store.Store.load(folder / "mined")

        def mine(name, **options):
            held_out = split.x_validation, split.y_validation
            return get_ats.mine_history(model, history, *held_out, path=folder / f"{name}.h5", **options)

        mined = fastest(arguments.repeats, stored=lambda: mine("stored"), kept=lambda: mine("kept", store=store))
        (from_checkpoints, targets), (from_store, _) = mined["stored"], mined["kept"]
        if (folder / "stored.h5").read_bytes() != (folder / "kept.h5").read_bytes():
            raise ArithmeticError("mining while training gave other targets than the checkpoints")
        weights = [history.file(epoch, "weights") for epoch in history.stored]
        checkpoint = size(weights[-1:])
        checkpoints, rows = size(weights), size((folder / "mined").iterdir())
        targets_size = size([folder / "stored.h5"])
    count = len(split.y_validation)
    first, *later = observing
    print(
        f"{count} images of {arguments.dataset}, {arguments.model} ({model.count_params():,} parameters), "
        f"{arguments.epochs} epochs, {len(targets.index)} selected from {len(numpy.unique(targets.epoch))}: same bits"
    )
    print(f"disk, mined + last weights / second half  {(rows + checkpoint) / checkpoints:.3f}")
    print(f"  of 200 epochs (100 checkpoints)         {(rows + checkpoint) / (101 * checkpoint):.3f}")
    print(f"disk of what is mined, rows an image      {rows / (store.row_size * count):.2f}   (at most 3)")
    print(f"observing / training without it           {sum(observing) / (training - sum(observing)):.3f}  (aim 0.1)")
    print(f"mining + observing / mining checkpoints   {(from_store + sum(observing)) / from_checkpoints:.2f}")
    print(f"mining what was kept / mining checkpoints {from_store / from_checkpoints:.2f}")
    facts = {"training_s": training, "first_observation_s": first, "later_observations_s": sum(later)}
    facts |= {"mining_checkpoints_s": from_checkpoints, "mining_kept_s": from_store}
    sizes = {
        "checkpoints_mb": checkpoints,
        "mined_mb": rows,
        "one_checkpoint_mb": checkpoint,
        "targets_mb": targets_size,
    }
    facts = {name: round(value, 3) for name, value in facts.items()}
    print(json.dumps(facts | {name: round(value / 1e6, 2) for name, value in sizes.items()}))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="digits")
    parser.add_argument("--data-dir", help="folder of the original data files")
    parser.add_argument("--model", default="alexnet@0.5")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=3)
    main(parser.parse_args())
