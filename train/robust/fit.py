"""The loop of robust training for every method; every epoch is recorded, and a resumed run gives the same bits.

An epoch is a pure function of (weights, optimizer state, controller state, the method's state, passes spent, seed,
epoch number), all of which the history's newest record has. The method's state are soft targets and, where weights are
averaged, the run's own weights: an epoch's weights are then the average. The unit of cost, a BP-epoch, is a forward and
backward pass over all images.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import numbers
import pathlib
from collections.abc import Callable

import keras
import numpy

import data
from models import contract
from models.fingerprint import fingerprint
from train.augment import augment
from train.diverged import Diverged
from train.history import History, confidence
from train.robust import optimizer as sgd  # the module: what loads Keras is loaded late (pipeline/late.py)
from train.robust.average import Average
from train.robust.catalogue import Method
from train.robust.controller import MagnitudeGuided
from train.robust.probe import Probe, best, course, fallen
from train.robust.setup import Setup
from train.seeds import seed_dropout, stream, whole

KEEP = ("all", "selected")


def fit(
    model: keras.Model,
    split: data.Split,
    *,
    method: Method,
    setup: Setup,
    history: History | pathlib.Path | str,
    seed: int,
    epochs: int | None = None,
    budget: float | None = None,
    keep: str = "selected",
    probe: Probe | None = None,
    teachers: tuple = (),
    progress: Callable | None = None,
    on_epoch: Callable | None = None,
) -> History:
    """Train `model` robustly and record each epoch: History. An existing history is resumed.

    split: data.Split; x_validation is held out, for the guard and the selection of an epoch.
    method: catalogue.Method.
    setup: setup.Setup.
    history: a History or its path.
    seed: of the order of the images, augmentation, dropout, the attacks' random numbers, and the images of the probe.
    epochs: length of the run (None: the set-up's); or instead budget: BP-epochs after which training ends, possibly
        within an epoch.
    keep: which epochs' weights stay: "all", or "selected": those of the selected epoch (probe.selected) and the newest.
    probe: Probe.
    teachers: trained models, for a method that distils them (Method.teachers).
    progress: called as progress(done, total, note) after each batch, in percent of the run.
    on_epoch: called with the history after each epoch.
    Training stops after an epoch whose robust accuracy has collapsed (probe.fallen; "stopped" in its record) by
    catastrophic overfitting or divergence; `model` then gets the selected epoch's weights.
    Raises ValueError if the history was started with other settings or data, or if model, images and labels do not
    belong together (models.contract), and Diverged if the loss is not finite: earlier epochs stay.
    """
    history = history if isinstance(history, History) else History(history)
    probe = probe or Probe()
    if budget is None:
        epochs = method.epochs(setup) if epochs is None else epochs
    _check(epochs, budget, keep)
    contract.check_split(model, split, batch_size=setup.batch_size)
    seed, epsilon = whole(seed), float(setup.epsilon)

    # 1. Claim the history for this run.
    strategy, controller = method.tailored(setup)
    history.claim(
        {
            "strategy": type(strategy).__name__,
            **_recorded(strategy),
            "controller": {"kind": type(controller).__name__, **controller.state()},
            "average": method.average and {"kind": type(method.average).__name__, **dataclasses.asdict(method.average)},
            "setup": dataclasses.asdict(setup),
            "teachers": [fingerprint(teacher) for teacher in teachers] or None,
            "guard": method.guard,
            "probe": dataclasses.asdict(probe),
            **{"seed": seed, "epochs": epochs, "budget": budget, "data": split.fingerprint},
        }
    )

    # 2. The compiled updates, and what the method carries from epoch to epoch.
    optimizer = sgd.CoupledSGD(setup.learning_rate, momentum=setup.momentum, weight_decay=setup.weight_decay)
    scale = _scale(model, split.x_train.shape[-1])
    guided = isinstance(controller, MagnitudeGuided)
    last_alone = getattr(strategy, "guided_by", "all") == "last"
    count = len(split.x_train)
    settings = {"measure": guided, "count": count, **({"teachers": teachers} if method.teachers else {})}
    batch = strategy.batch(model, optimizer, epsilon=epsilon, scale=scale, **settings)
    average = None if method.average is None else Average(method.average, model)
    carried = {"average": average, "batch": batch if hasattr(batch, "state") else None}
    held_out = _held_out(split, probe.images, seed)

    # 3. Resume.
    spent, recorded = 0.0, course(history)
    if history.last:
        history.load_weights(model, history.last)
        history.load_optimizer(optimizer, history.last)
        history.drop_older_optimizers()
        _restore(history, carried)
        metrics = recorded[history.last]
        controller.restore(metrics["controller"])
        spent = metrics["bp_epochs"]
        if keep == "selected":
            _drop_weights(history, best(recorded, method.select))
        if metrics["stopped"]:
            history.load_weights(model, best(recorded, method.select))
            return history

    # 4. Train, epoch by epoch.
    while history.last < epochs if budget is None else spent < budget - 1e-9:
        epoch, steps = history.last + 1, controller.steps

        def share_done(epoch_share, spent, epoch=epoch):
            """The fraction of the run that is over, after a fraction of the epoch's images."""
            return spent / budget if budget else (epoch - 1 + epoch_share) / epochs

        def watch(share, note, epoch=epoch):
            if progress is not None:
                progress(min(round(100 * share, 1), 100), 100, f"% of the run, epoch {epoch} {note}")

        trained = _epoch(
            model, optimizer, batch, average, split, setup, seed, epoch, steps, spent, budget, share_done, watch
        )
        spent, magnitudes = trained["bp_epochs"], trained.pop("magnitudes")
        trained["magnitude"] = float(magnitudes[-1] if last_alone else magnitudes.sum())
        with _shown(average, share_done(1, spent), split, setup, seed, epoch) as passes:
            spent = trained["bp_epochs"] = spent + passes
            log_probability, prediction = confidence(model, split.x_validation, split.y_validation)
            if not (numpy.isfinite(trained["loss"]) and numpy.isfinite(log_probability).all()):
                raise Diverged(
                    f"the loss became {trained['loss']} in epoch {epoch}; epochs up to {epoch - 1} are kept in the "
                    "history: lower the learning rate or check the images"
                )
            # Probe the model and update the controller.
            measured = probe.measure(model, *held_out, epsilon=epsilon, scale=scale, seed=seed)
            controller.update(
                epoch - 1,
                trained["magnitude"],
                accuracy=trained["robust_accuracy"],
                progress=spent / budget if budget else epoch / max(epochs - 1, 1),  # 1 as the last epoch begins
                over=spent / budget if budget else epoch / epochs,
            )
            # Record the epoch, and stop if robust accuracy has collapsed.
            so_far = [*recorded.values(), measured]
            robust, losses = ([probed[name] for probed in so_far] for name in ("probe_robust", "probe_robust_loss"))
            stopped = fallen(robust, losses, method.guard, len(held_out[0]))
            metrics = {"epoch": epoch, "steps": steps, **trained, **measured, "stopped": stopped}
            metrics |= {
                "validation_accuracy": float((prediction == split.y_validation).mean()),
                "controller": controller.state(),
            }
            recorded[epoch] = metrics
            selected = best(recorded, method.select)
            if getattr(batch, "judge", None) is not None:
                batch.judge(selected == epoch, share_done(1, spent))
            saved = {"metrics": metrics, "optimizer": optimizer, "state": _state(carried)}
            history.save(model, epoch, log_probability, prediction, **saved)
        if keep == "selected":
            _drop_weights(history, selected)
        if on_epoch is not None:
            on_epoch(history)
        if stopped:
            history.load_weights(model, selected)
            break
    return history


def _check(epochs, budget, keep):
    """Raise ValueError for arguments that `fit` does not admit."""
    length, kind = (epochs, numbers.Integral) if budget is None else (budget, numbers.Real)
    if (epochs is not None and budget is not None) or not isinstance(length, kind) or not 0 < length < math.inf:
        raise ValueError(
            f"epochs={epochs} and budget={budget}: expected one of the two, above 0, and epochs a whole number"
        )
    if keep not in KEEP:
        raise ValueError(f"keep is {keep!r}; expected one of {', '.join(KEEP)}")


def _epoch(model, optimizer, batch, average, split, setup, seed, epoch, steps, spent, budget, share_done, watch):
    """Train an epoch: its metrics. spent: BP-epochs before it; the epoch ends early when they reach the budget."""
    generator = stream(seed, "epoch of robust training", epoch)
    seed_dropout(model, generator)
    count = len(split.x_train)
    order, outcomes, sizes, carried = generator.permutation(count), [], [], None
    for start in range(0, count, setup.batch_size):
        rows = order[start : start + setup.batch_size]
        progress = share_done(start / count, spent)
        rate = setup.rate(progress, epoch - 1 + start / count)
        optimizer.learning_rate, optimizer.momentum = rate, setup.momentum_of(rate)
        images = augment(split.x_train[rows], generator, flip=setup.flip, shift=setup.crop, fill="constant")
        labels = split.y_train[rows].astype("int32")
        outcome = batch(data.to_unit(images), labels, steps, generator, carried, progress, rows=rows)
        if average is not None:
            average.after("batch", progress)
        carried = outcome.carried
        outcomes.append(outcome._replace(carried=None))
        sizes.append(len(rows))
        spent += outcome.passes * len(rows) / count
        watch(share_done((start + len(rows)) / count, spent), f"{steps} steps, {spent:.1f} BP-epochs")
        if budget and spent >= budget - 1e-9:
            break
    loss, magnitude = (
        numpy.array([float(getattr(outcome, name)) for outcome in outcomes]) for name in ("loss", "magnitude")
    )
    correct = sum(int(numpy.asarray(outcome.correct).sum()) for outcome in outcomes)
    return {
        "learning_rate": rate,
        "loss": float(numpy.average(loss, weights=sizes)),
        "robust_accuracy": correct / sum(sizes),
        "magnitudes": magnitude,
        "bp_epochs": spent,
    }


@contextlib.contextmanager
def _shown(average, progress, split, setup, seed, epoch):
    """The averaged weights, if there are any, in the model, after the epoch; yields the passes that this cost."""
    if average is None:
        yield 0.0
        return

    def images():
        generator = stream(seed, "batch norm of averaged weights", epoch)
        order = generator.permutation(len(split.x_train))
        for start in range(0, len(order), setup.batch_size):
            rows = order[start : start + setup.batch_size]
            clean = augment(split.x_train[rows], generator, flip=setup.flip, shift=setup.crop, fill="constant")
            yield data.to_unit(clean)

    average.after("epoch", progress)
    with average.shown(images):
        yield average.passes


def _state(carried):
    """The arrays of all that a method carries from epoch to epoch."""
    parts = {name: part.state() for name, part in carried.items() if part is not None}
    return {f"{name}.{key}": value for name, part in parts.items() for key, value in part.items()}


def _restore(history, carried):
    """Restore what the newest epoch carries; the model has that epoch's weights."""
    for name, part in carried.items():
        if part is not None:
            keys = [*part.state()]
            arrays = history.load_state(history.last, [f"{name}.{key}" for key in keys])
            part.restore({key: arrays[f"{name}.{key}"] for key in keys})


def _recorded(strategy):
    """A strategy's fields as a history's origin has them: the attack loss is under its first name, "climbed"."""
    return {"climbed" if name == "attack_loss" else name: value for name, value in dataclasses.asdict(strategy).items()}


def _scale(model, channels):
    """Standard deviations by which the model's first layer divides the channels; ones if there is no such layer."""
    layer = next((layer for layer in model.layers if layer.name == "standardise"), None)
    if layer is None:
        return numpy.ones(channels, "float32")
    return numpy.sqrt(numpy.asarray(layer.variance, "float32")).reshape(-1)


def _held_out(split, images, seed):
    rows = stream(seed, "probe images").permutation(len(split.x_validation))[:images]
    return data.to_unit(split.x_validation[rows]), split.y_validation[rows]


def _drop_weights(history, selected):
    """Delete all weights but those of the selected and of the newest epoch."""
    newest = history.last
    for epoch in history.stored:
        if epoch not in (selected, newest):
            history.drop_weights(epoch)
