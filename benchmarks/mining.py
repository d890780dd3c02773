"""What mining while training costs against mining the stored second half of the history: disk and time, in one run.

    python benchmarks/mining.py --dataset digits --model alexnet@0.5 --epochs 20

One training keeps both, so every ratio is of the same epochs on the same machine, and the targets must agree bit for
bit. The disk that mining while training needs grows with the images (three activations each at most) and not with the
epochs; checkpoints grow with the parameters and the epochs. Aim: at most a tenth more training time. The published size
is 200 epochs, of which 100 checkpoints are kept: the disk of that is printed beside the measured one.
"""

import argparse
import dataclasses
import json
import pathlib
import tempfile
import time

import numpy

import data
import models
from dare import get_ats, online, online_store
from train import params
from train.fit import fit
from train.history import History


def build(arguments):
    """(model, split, recipe)."""
    split = data.half_split(data.load(arguments.dataset, arguments.data_dir, unverified=True), 0)
    shape = split.x_train.shape[1:]
    statistics = data.statistics(split.x_train)
    model = models.build(arguments.model, shape, len(split.classes), preprocessing=statistics)
    return model, split, dataclasses.replace(params.recipe(arguments.model, shape), batch_size=64)


def train(model, split, recipe, folder, epochs):
    """Train, keeping the second half of the checkpoints and what is mined beside them.

    Returns (history, seconds of the whole, seconds of each mined epoch's observation).
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


def fastest(repeats, **jobs):
    """name -> (seconds of the fastest of `repeats` timings, result); the jobs take turns, after one untimed round."""
    best = {}
    for repeat in range(repeats + 1):
        for name, job in jobs.items():
            start = time.perf_counter()
            result = job()
            seconds = time.perf_counter() - start
            if repeat:
                best[name] = (min(best[name][0], seconds) if name in best else seconds, result)
    return best


def size(paths):
    return sum(path.stat().st_size for path in paths)


def main(arguments):
    model, split, recipe = build(arguments)
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        history, training, observing = train(model, split, recipe, folder, arguments.epochs)
        store = online_store.Store.load(folder / "mined")

        def mine(name, **options):
            held_out = split.x_validation, split.y_validation
            return get_ats.mine_history(model, history, *held_out, path=folder / f"{name}.h5", **options)

        mined = fastest(arguments.repeats, stored=lambda: mine("stored"), kept=lambda: mine("kept", store=store))
        (stored, targets), (kept, _) = mined["stored"], mined["kept"]
        if (folder / "stored.h5").read_bytes() != (folder / "kept.h5").read_bytes():
            raise ArithmeticError("mining while training gave other targets than the checkpoints")
        weights = [history.file(epoch, "weights") for epoch in history.stored]
        one = size(weights[-1:])
        checkpoints, rows = size(weights), size((folder / "mined").iterdir())
        targets_size = size([folder / "stored.h5"])
    count = len(split.y_validation)
    first, *others = observing
    print(
        f"{count} images of {arguments.dataset}, {arguments.model} ({model.count_params():,} parameters), "
        f"{arguments.epochs} epochs, {len(targets.index)} selected from {len(numpy.unique(targets.epoch))}: same bits"
    )
    print(f"disk, mined + last weights / second half  {(rows + one) / checkpoints:.3f}")
    print(f"  of 200 epochs (100 checkpoints)         {(rows + one) / (101 * one):.3f}")
    print(f"disk of what is mined, rows an image      {rows / (store.row_size * count):.2f}   (at most 3)")
    print(f"observing / training without it           {sum(observing) / (training - sum(observing)):.3f}  (aim 0.1)")
    print(f"mining + observing / mining checkpoints   {(kept + sum(observing)) / stored:.2f}")
    print(f"mining what was kept / mining checkpoints {kept / stored:.2f}")
    facts = {"training_s": training, "first_observation_s": first, "later_observations_s": sum(others)}
    facts |= {"mining_checkpoints_s": stored, "mining_kept_s": kept}
    sizes = {"checkpoints_mb": checkpoints, "mined_mb": rows, "one_checkpoint_mb": one, "targets_mb": targets_size}
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
