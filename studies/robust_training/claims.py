"""The four claims of DEAT (arXiv 2103.03076), each with what the rows of one data set and model say of it.

A difference of two methods has an interval over seeds: their deviation, which contains that of the test images since
each seed draws its own, is pooled over all methods of the cell with several seeds. Where none has, there is no interval
and every verdict is open. Rows whose checks were raised are left out: their robustness may not be there.
"""

import dataclasses
import math

import numpy

from reporting import claims, marks, statistics
from reporting.cell import cell_name
from reporting.claims import Claim, Effect
from studies.robust_training import tables

SOURCE = "Wang, Zhang, Zheng, Ruan, arXiv 2103.03076"
MARGIN = 1.0  # points of robust accuracy that count for nothing
GOALS = (1.0, 2.0, 4.0)  # points below the other's best held-out accuracy at which DEAT's saving is read
SAVED = 10.0  # % of the BP-epochs that have to be saved to count
EPOCHS = 8  # of a run whose course is to be correlated, at least
TRACKS = 0.5  # rank correlation over epochs from which on one number tracks another


def deat_claims(rows):
    """A Table of the four claims for the rows (pooled over seeds) of one data set and model."""
    sound, left_out = marks.sound(rows)
    methods = {row["method"]: row for row in sound}
    dataset, model = rows[0]["dataset"], rows[0]["model"]
    name = f"robust_training-{cell_name(dataset, model)}-claims"
    found = [redundant(methods), level(methods), lipschitz(sound), cheaper(methods)]
    table = claims.table(name, f"{dataset}, {model}", "the claims of DEAT", found, left_out)
    return dataclasses.replace(table, notes=(*tables.older(rows), *table.notes))


def redundant(methods):
    """Claim 1: at one budget, more attack iterations a batch do not buy robustness.

    Fewer steps leave room for more updates, so that a gain would not be the steps' own: at best undecided.
    """
    claim = "Redundant attack iterations hurt robustness late in training"
    pairs = [("free-4", "free-8"), ("fat-5", "fat"), ("pgd-7", "pgd-10")]
    return _compared(claim, methods, pairs, 0.0, "fewer steps leave room for more updates, which may be the cause")


def level(methods):
    """Claim 2: enough adversarial quality at each time is enough: M+X is no worse than X, by a point at most."""
    claim = "Keeping the quality of adversarial examples at a level is enough"
    return _compared(claim, methods, [("m+trades", "trades"), ("m+mart", "mart"), ("m+pgd", "pgd-7")], -MARGIN)


def _compared(text, methods, pairs, needed, reservation=""):
    """A claim on pairs of methods that spent the same BP-epochs, within a twentieth: all of them have to support it."""
    pairs = [pair for pair in pairs if _at_one_budget(methods, *pair)]
    if not pairs:
        return Claim(text, SOURCE, "no such pair was trained for as many BP-epochs", "not measured")
    found = [_difference(methods, *pair, needed, claims.confidence(len(pairs))) for pair in pairs]
    said = f"worst case at equal BP-epochs: {'; '.join(map(str, found))} ({_of_seeds(methods)})"
    return claims.judged(text, SOURCE, said, found, reservation=reservation)


def _at_one_budget(methods, *names):
    if any(name not in methods or tables.worst(methods[name])["value"] is None for name in names):
        return False
    spent = [methods[name]["hyperparameters"]["bp_epochs"] for name in names]
    return abs(spent[0] - spent[1]) <= 0.05 * max(spent)


def _difference(methods, one, other, needed, confidence):
    """The Effect of one method's worst case minus the other's, in points, over seeds; of a run that the guard ended the
    deviation of the others says nothing, so there is no interval."""
    values = [tables.worst(methods[name])["values"] for name in (one, other)]
    variance, freedom = _seeds(methods)
    if any(methods[name]["hyperparameters"]["stopped"] for name in (one, other)):
        freedom = 0
    value, error = (
        numpy.mean(values[0]) - numpy.mean(values[1]),
        math.sqrt(variance * sum(1 / len(one) for one in values)),
    )
    interval = statistics.student(value, error, freedom, confidence=confidence)
    settings = {"freedom": freedom or math.inf, "confidence": confidence}
    return Effect(what=f"{one} minus {other}", interval=interval, needed=needed, **settings)


def _seeds(methods):
    """(variance of the worst case over seeds, its degrees of freedom), of all methods that the guard never ended."""
    several = [
        tables.worst(row)["values"]
        for row in methods.values()
        if row["role"] != "control" and not row["hyperparameters"]["stopped"]
    ]
    freedom = sum(len(values) - 1 for values in several if values)
    squares = sum(float(numpy.square(numpy.subtract(values, numpy.mean(values))).sum()) for values in several if values)
    return (squares / freedom if freedom else 0.0), freedom


def _of_seeds(methods):
    variance, freedom = _seeds(methods)
    if not freedom:
        return "one seed each"
    return f"95 % intervals over seeds, of a deviation of {math.sqrt(variance):.1f} with {freedom} degrees of freedom"


def lipschitz(rows):
    """Claim 3: over epochs, the gradient magnitude follows the local Lipschitz constant.

    The magnitude on the very held-out images, and the one that guides the M+ methods, of training images. Of each run's
    values, whose rank correlation has to exceed TRACKS, and of their changes from epoch to epoch, which have to agree
    at all, since two series that both rise always agree; without the last epoch, which a budget may cut short, and
    without those that took no gradient (the rule of 2021 at no step). The interval of the median over runs is the sign
    test's.
    """
    claim = "The gradient magnitude tracks the local Lipschitz constant"
    effects, runs = [], []
    for which, name in (("held-out", "probe_magnitude"), ("guiding", "magnitude")):
        chosen = [
            numpy.array([one[name], one["probe_lipschitz"]])
            for row in rows
            if row["role"] != "control" and (which == "held-out" or row["method"].startswith("m+"))
            for one in row["trajectories"]
        ]
        chosen = [both[:, both[0] > 0] for both in chosen]
        series = [both[:, :-1] for both in chosen if both.shape[1] >= EPOCHS]
        for part, of, needed in ((numpy.asarray, "magnitude", TRACKS), (numpy.diff, "changes", 0.0)):
            values = [statistics.spearman(*part(each), constant=numpy.nan) for each in series]
            values = [float(one) for one in values if not numpy.isnan(one)]
            if values:
                interval = statistics.median(values, confidence=claims.confidence(4))
                effects.append(
                    Effect(
                        what=f"{which} {of}", interval=interval, needed=needed, scale="correlation", unit="",
                        confidence=claims.confidence(4),
                    )
                )  # fmt: skip
                runs.append(len(values))
    if len(effects) < 4:
        return Claim(claim, SOURCE, f"no guided run of at least {EPOCHS} epochs", "not measured")
    said = (
        f"Spearman's rank correlation over epochs, median of {min(runs)} to {max(runs)} runs: "
        f"{'; '.join(map(str, effects))}"
    )
    return claims.judged(claim, SOURCE, said, effects)


def cheaper(methods):
    """Claim 4: DEAT reaches the robustness of PGD and FREE in up to 40 % less time, here in fewer BP-epochs.

    Saved has to be a tenth, in the mean of several goals below the other's best held-out accuracy, since a few of some
    hundred images decide when one goal is reached; and the worst case on test images may be a point lower at most. A
    goal that a seed never reaches counts as twice the other's BP-epochs. Savings have an interval over seeds.
    """
    claim = "Up to 40 % less time at equal robustness"
    others = [name for name in ("free-8", "pgd-7") if "m+deat" in methods and name in methods]
    savings = {name: _savings(methods["m+deat"], methods[name]) for name in others}
    savings = {name: found for name, found in savings.items() if found is not None}
    if not savings:
        return Claim(claim, SOURCE, "m+deat was not trained beside a robust free-8 or pgd-7", "not measured")
    freedom = sum(len(values) - 1 for _, values, _ in savings.values())
    squares = sum(float(numpy.square(values - values.mean()).sum()) for _, values, _ in savings.values())
    level = claims.confidence(2 * len(savings))
    effects, said = [], []
    for name, (best, values, never) in savings.items():
        error = math.sqrt(squares / max(1, freedom) / len(values))
        interval = statistics.student(values.mean(), error, freedom, confidence=level)
        saved = Effect(
            what=f"saved beside {name}", interval=interval, needed=SAVED, unit="% of BP-epochs", most=100.0,
            freedom=freedom or math.inf, confidence=level,
        )  # fmt: skip
        robust = _difference(methods, "m+deat", name, -MARGIN, level)
        effects += [saved, robust]
        said.append(f"{saved} to goals below {name}'s best of {best:.1f} %{never}, in the worst case {robust}")
    points = ", ".join(f"{one:.0f}" for one in GOALS)
    evidence = (
        f"mean over goals of {points} points below the other's best held-out accuracy: {'; '.join(said)} "
        f"({_of_seeds(methods)})"
    )
    return claims.judged(claim, SOURCE, evidence, effects)


def _savings(ours, theirs):
    """(the other's best held-out accuracy, % of BP-epochs saved by each seed: (S,), a remark on goals never reached);
    None where the other is not robust at all, or where no seed is common."""
    runs = [{one["seed"]: one for one in row["trajectories"]} for row in (ours, theirs)]
    common = sorted(set(runs[0]) & set(runs[1]))
    best = 100 * min(max(one["probe_robust"]) for one in theirs["trajectories"])
    goals = [(best - points) / 100 for points in GOALS if best > points]
    if not goals or not common:
        return None
    reached = numpy.array([[[_reached(each[seed], goal) for goal in goals] for each in runs] for seed in common])
    saved = 1 - reached[:, 0] / reached[:, 1]
    never = numpy.isnan(saved)
    remark = f" ({int(never.sum())} of {never.size} never reached)" if never.any() else ""
    return best, 100 * numpy.where(never, -1.0, saved).mean(axis=1), remark


def _reached(run, goal):
    """The BP-epochs at which the probe of one run first reaches the goal; NaN where it never does."""
    robust, spent = numpy.array([0.0, *run["probe_robust"]]), numpy.array([0.0, *run["bp_epochs"]])
    places = numpy.flatnonzero(robust >= goal)
    if not len(places):
        return numpy.nan
    pair = slice(places[0] - 1, places[0] + 1)
    return float(numpy.interp(goal, robust[pair], spent[pair]))
