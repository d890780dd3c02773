"""The one loop of robust training: every method, every epoch recorded, resumable to the bit.

An epoch is a pure function of (weights, optimizer state, controller state, passes spent, seed, epoch number); all of it
is in the history's newest record. Cost is counted in BP-epochs: one is a forward and backward pass over all images.
"""

import dataclasses

import numpy

import data
from train.augment import augment
from train.history import History, confidence
from train.robust import optimizer as sgd  # the module: what loads Keras is loaded late (pipeline/late.py)
from train.robust.controller import MagnitudeGuided
from train.robust.probe import Probe, best, course, fallen
from train.seeds import seed_dropout, stream

KEEP = ("all", "selected")


def fit(
    model, split, *, method, setup, history, seed, epochs=None, budget=None, keep="selected", probe=None,
    progress=None, on_epoch=None,
):  # fmt: skip
    """Train `model` by a Method under a Setup and record each epoch; continue `history` where it ends.

    split: data.Split, whose x_validation is the held-out part that guards and selects, never trained on; method:
    catalogue.Method; setup: setup.Setup; history: a History or its path; epochs: the run's length (the set-up's by
    default), or instead budget: BP-epochs, after which training ends, mid-epoch if need be; keep: "all" weights, or
    those of the "selected" epoch (probe.selected) and the last; probe: Probe; progress: called as progress(done,
    total, note) after each batch, in thousandths of the run; on_epoch: called with the history after each epoch.
    Returns the History. An epoch whose probe has fallen (probe.fallen) is the last one ("stopped" in its record):
    catastrophic overfitting or divergence, after which `model` has the selected epoch's weights again.
    Raises ValueError where the history was begun with other settings or data, and ArithmeticError when the loss is
    no longer finite: earlier epochs stay.
    """
    history = history if isinstance(history, History) else History(history)
    probe = probe or Probe()
    if budget is None:
        epochs = method.epochs(setup) if epochs is None else epochs
    if (epochs is None) == (budget is None) or not min(epochs or 1, budget or 1) > 0:
        raise ValueError(f"epochs={epochs} and budget={budget}: expected one of the two, above 0")
    if keep not in KEEP:
        raise ValueError(f"keep is {keep!r}; expected one of {', '.join(KEEP)}")
    strategy, controller = method.tailored(setup)
    history.claim(
        {
            "strategy": type(strategy).__name__,
            **dataclasses.asdict(strategy),
            "controller": {"kind": type(controller).__name__, **controller.state()},
            "setup": dataclasses.asdict(setup),
            "guard": method.guard,
            "probe": dataclasses.asdict(probe),
            **{"seed": seed, "epochs": epochs, "budget": budget, "data": split.fingerprint},
        }
    )
    optimizer = sgd.CoupledSGD(setup.learning_rate, momentum=setup.momentum, weight_decay=setup.weight_decay)
    scale = _scale(model, split.x_train.shape[-1])
    guided = isinstance(controller, MagnitudeGuided)
    last_alone = getattr(strategy, "guided_by", "all") == "last"
    batch = strategy.batch(model, optimizer, epsilon=setup.epsilon, scale=scale, measure=guided)
    held_out = _held_out(split, probe.images, seed)
    spent, recorded = 0.0, course(history)
    if history.last:
        history.load_weights(model, history.last)
        history.load_optimizer(optimizer, history.last)
        history.drop_older_optimizers()
        metrics = recorded[history.last]
        controller.restore(metrics["controller"])
        spent = metrics["bp_epochs"]
        if keep == "selected":
            _drop_weights(history, best(recorded, method.select))
        if metrics["stopped"]:
            history.load_weights(model, best(recorded, method.select))
            return history
    while history.last < epochs if budget is None else spent < budget - 1e-9:
        epoch, steps = history.last + 1, controller.steps

        def share_done(seen, spent, epoch=epoch):
            """What share of the run is over, after a share of the epoch's images."""
            return spent / budget if budget else (epoch - 1 + seen) / epochs

        def watch(share, note, epoch=epoch):
            if progress is not None:
                progress(min(round(1000 * share), 1000), 1000, f"epoch {epoch} {note}")

        made = _epoch(model, optimizer, batch, split, setup, seed, epoch, steps, spent, budget, share_done, watch)
        log_probability, prediction = confidence(model, split.x_validation, split.y_validation)
        if not (numpy.isfinite(made["loss"]) and numpy.isfinite(log_probability).all()):
            raise ArithmeticError(
                f"the loss became {made['loss']} in epoch {epoch}; epochs up to {epoch - 1} are kept in the history: "
                "lower the learning rate or check the images"
            )
        spent, magnitudes = made["bp_epochs"], made.pop("magnitudes")
        made["magnitude"] = float(magnitudes[-1] if last_alone else magnitudes.sum())
        measured = probe.measure(model, *held_out, epsilon=setup.epsilon, scale=scale, seed=seed)
        controller.update(
            epoch - 1,
            made["magnitude"],
            accuracy=made["robust_accuracy"],
            progress=spent / budget if budget else epoch / max(epochs - 1, 1),  # 1 when the last epoch begins
            over=spent / budget if budget else epoch / epochs,
        )
        so_far = [*recorded.values(), measured]
        robust, losses = ([one[name] for one in so_far] for name in ("probe_robust", "probe_robust_loss"))
        stopped = fallen(robust, losses, method.guard, len(held_out[0]))
        metrics = {"epoch": epoch, "steps": steps, **made, **measured, "stopped": stopped}
        metrics |= {
            "validation_accuracy": float((prediction == split.y_validation).mean()),
            "controller": controller.state(),
        }
        history.save(model, epoch, log_probability, prediction, metrics=metrics, optimizer=optimizer)
        recorded[epoch] = metrics
        if keep == "selected":
            _drop_weights(history, best(recorded, method.select))
        if on_epoch is not None:
            on_epoch(history)
        if stopped:
            history.load_weights(model, best(recorded, method.select))
            break
    return history


def _epoch(model, optimizer, batch, split, setup, seed, epoch, steps, spent, budget, share_done, watch):
    """One pass over the images: its metrics. `spent`: BP-epochs before it; it ends early where they reach budget."""
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
        outcome = batch(data.to_unit(images), labels, steps, generator, carried, progress)
        carried = outcome.carried
        outcomes.append(outcome._replace(carried=None))
        sizes.append(len(rows))
        spent += outcome.passes * len(rows) / count
        watch(share_done((start + len(rows)) / count, spent), f"{steps} steps, {spent:.1f} BP-epochs")
        if budget and spent >= budget - 1e-9:
            break
    loss, magnitude = (numpy.array([float(getattr(one, name)) for one in outcomes]) for name in ("loss", "magnitude"))
    correct = sum(int(numpy.asarray(one.correct).sum()) for one in outcomes)
    return {
        "learning_rate": rate,
        "loss": float(numpy.average(loss, weights=sizes)),
        "robust_accuracy": correct / sum(sizes),
        "magnitudes": magnitude,
        "bp_epochs": spent,
    }


def _scale(model, channels):
    """The deviations by which the model's first layer divides the channels; ones where it has none."""
    layer = next((one for one in model.layers if one.name == "standardise"), None)
    if layer is None:
        return numpy.ones(channels, "float32")
    return numpy.sqrt(numpy.asarray(layer.variance, "float32")).reshape(-1)


def _held_out(split, images, seed):
    rows = stream(seed, "probe images").permutation(len(split.x_validation))[:images]
    return data.to_unit(split.x_validation[rows]), split.y_validation[rows]


def _drop_weights(history, selected):
    """Keep the weights of the selected and of the newest epoch."""
    newest = history.last
    for epoch in history.stored:
        if epoch not in (selected, newest):
            history.drop_weights(epoch)
