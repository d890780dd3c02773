"""The verdicts on the four claims of DEAT (arXiv 2103.03076) for one data set and model.

Methods are compared seed by seed (paired.py), with standard deviations pooled over the pairs of one claim. With one
seed every verdict is undecided. Rows with raised checks are left out, because their robustness may be overestimated.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy

import data
from reporting import claims, marks, statistics
from reporting.cell import cell_name
from reporting.claims import Claim, Effect
from studies.robust_training import paired, tables

SOURCE = "Wang, Zhang, Zheng, Ruan, arXiv 2103.03076"
MARGIN = 1.0  # smaller losses of robust accuracy, in points, are ignored
GOALS = (1.0, 2.0, 4.0)  # points below the other's best held-out accuracy at which DEAT's saving is measured
SAVED = 10.0  # smallest relevant saving, % of the BP-epochs
EPOCHS = 8  # fewest epochs of a run for a correlation over epochs
TRACKS = 0.5  # rank correlation over epochs above which one number tracks another


def deat_claims(rows: Sequence[Mapping]) -> claims.Judged:
    """The table of the four claims for the rows (pooled over seeds) of one data set and model."""
    sound, left_out = marks.sound(rows)
    methods = {row["method"]: row for row in sound}
    dataset, model = rows[0]["dataset"], rows[0]["model"]
    name = f"robust_training-{cell_name(dataset, model)}-claims"
    judged = [redundant(methods), level(methods), lipschitz(sound), cheaper(methods)]
    table = claims.table(name, f"{dataset}, {model}", "the claims of DEAT", judged, left_out)
    return dataclasses.replace(table, notes=(*tables.older(rows), *table.notes))


def redundant(methods: dict) -> Claim:
    """Claim 1: at an equal budget, more attack iterations per batch do not improve robustness.

    At an equal budget fewer steps allow more updates, which may be the cause of a gain. The best verdict is therefore
    "undecided".
    """
    claim = "Redundant attack iterations hurt robustness late in training"
    pairs = [("free-4", "free-8"), ("fat-5", "fat"), ("pgd-7", "pgd-10")]
    return _compared(claim, methods, pairs, 0.0, "fewer steps allow more updates, which may be the cause")


def level(methods: dict) -> Claim:
    """Claim 2: a constant adversarial quality suffices: M+X is at most a point worse than X."""
    claim = "A constant quality of adversarial examples is enough"
    return _compared(claim, methods, [("m+trades", "trades"), ("m+mart", "mart"), ("m+pgd", "pgd-7")], -MARGIN)


def _compared(text, methods, pairs, needed, reservation=""):
    """A claim that all pairs of methods with equal BP-epochs, within a twentieth, have to support."""
    pairs = [pair for pair in pairs if _at_one_budget(methods, *pair)]
    if not pairs:
        return Claim(text, SOURCE, "no such pair was trained for equal BP-epochs", "not measured")
    compared = [paired.between(*(methods[name] for name in pair)) for pair in pairs]
    effects, over = paired.effects(compared, needed, claims.confidence(len(pairs)))
    evidence = f"worst case at equal BP-epochs: {'; '.join(map(str, effects))} ({over})"
    return claims.judged(text, SOURCE, evidence, effects, reservation=reservation)


def _at_one_budget(methods, *names):
    if any(name not in methods or tables.worst(methods[name])["value"] is None for name in names):
        return False
    spent = [methods[name]["hyperparameters"]["bp_epochs"] for name in names]
    return abs(spent[0] - spent[1]) <= 0.05 * max(spent)


def lipschitz(rows: Sequence[Mapping]) -> Claim:
    """Claim 3: over epochs, the gradient magnitude follows the local Lipschitz constant.

    Two magnitudes are tested: on the same held-out images, and on training images, where it guides the M+ methods. The
    rank correlation of the values in each run has to exceed TRACKS. The rank correlation of the changes from epoch to
    epoch has to be positive, because two series that both rise always correlate. The last epoch is left out, because a
    budget may cut it short; epochs without a gradient (the rule of 2021 at no step) are left out too. Runs of one
    method are alike, so each method counts once, by the median of its runs; the interval of the median over methods is
    that of the sign test.
    """
    claim = "The gradient magnitude tracks the local Lipschitz constant"
    effects, counts = [], []
    for which, name in (("held-out", "probe_magnitude"), ("guiding", "magnitude")):
        chosen = [
            row["trajectories"]
            for row in rows
            if row["role"] != "control" and (which == "held-out" or row["method"].startswith("m+"))
        ]
        for part, of, needed in ((numpy.asarray, "magnitude", TRACKS), (numpy.diff, "changes", 0.0)):
            values = [value for runs in chosen if (value := _tracking(runs, name, part)) is not None]
            if values:
                interval = statistics.median(values, confidence=claims.confidence(4))
                effects.append(
                    Effect(
                        what=f"{which} {of}", interval=interval, needed=needed, scale="correlation", unit="",
                        confidence=claims.confidence(4),
                    )
                )  # fmt: skip
                counts.append(len(values))
    if len(effects) < 4:
        return Claim(claim, SOURCE, f"no guided run of at least {EPOCHS} epochs", "not measured")
    evidence = (
        f"Spearman's rank correlation over epochs, median of {min(counts)} to {max(counts)} methods: "
        f"{'; '.join(map(str, effects))}"
    )
    return claims.judged(claim, SOURCE, evidence, effects)


def _tracking(runs, name, part):
    """The median over runs of the rank correlation of a magnitude with the Lipschitz constant; None without one."""
    both = [numpy.array([run[name], run["probe_lipschitz"]]) for run in runs]
    both = [each[:, each[0] > 0] for each in both]
    series = [each[:, :-1] for each in both if each.shape[1] >= EPOCHS]
    values = [statistics.spearman(*part(each), constant=numpy.nan) for each in series]
    values = [value for value in values if not numpy.isnan(value)]
    return float(numpy.median(values)) if values else None


def cheaper(methods: dict) -> Claim:
    """Claim 4: DEAT reaches the robustness of PGD and FREE in up to 40 % less time, measured in BP-epochs.

    DEAT has to save at least a tenth of the BP-epochs, in the mean over several goals below the other's best held-out
    accuracy; the time to a single goal depends on a few of some hundred images. Its worst case on test images may be at
    most a point lower. If a seed never reaches a goal, it counts as twice the other's BP-epochs. Savings have an
    interval over seeds.
    """
    claim = "Up to 40 % less time at equal robustness"
    references = [name for name in ("free-8", "pgd-7") if "m+deat" in methods and name in methods]
    savings = {name: _savings(methods["m+deat"], methods[name]) for name in references}
    savings = {name: saving for name, saving in savings.items() if saving is not None}
    if not savings:
        return Claim(claim, SOURCE, "m+deat was not trained, or neither free-8 nor pgd-7 is robust", "not measured")
    level = claims.confidence(2 * len(savings))
    compared = [paired.between(methods["m+deat"], methods[name]) for name in savings]
    robust, over = paired.effects(compared, -MARGIN, level)
    pairs = {name: frozenset(["m+deat", name]) for name in savings}
    errors, _ = paired.errors_of({name: values for name, (_, values, _) in savings.items()}, pairs)
    effects, phrases = [], []
    for (name, (best, values, never)), worst in zip(savings.items(), robust, strict=True):
        error, freedom = errors.get(name, (0.0, 0))
        saved = Effect(
            what=f"saved against {name}", needed=SAVED, unit="% of BP-epochs", most=100.0,
            interval=statistics.student(values.mean(), error, freedom, confidence=level),
            freedom=freedom or math.inf, confidence=level,
        )  # fmt: skip
        effects += [saved, worst]
        phrases.append(f"{saved} for goals below {name}'s best of {best:.1f} %{never}, worst case {worst}")
    points = ", ".join(f"{goal:.0f}" for goal in GOALS)
    evidence = (
        f"mean over goals of {points} points below the other's best held-out accuracy: {'; '.join(phrases)} ({over})"
    )
    return claims.judged(claim, SOURCE, evidence, effects)


def _savings(own, reference):
    """(the reference's best held-out accuracy, % of BP-epochs saved by each seed (S,), a remark on goals not reached).

    None if the methods share no seed, or if the reference has learnt nothing: in each epoch of a seed one class is
    predicted for nearly all held-out images, or its best accuracy under attack is no more than chance.
    """
    chance = 1 / len(data.DATASETS[own["dataset"]].classes) if own["dataset"] in data.DATASETS else 0.0
    if any(
        max(run["probe_robust"]) <= chance or not any(run.get("probe_learnt", [1])) for run in reference["trajectories"]
    ):
        return None
    runs = [{run["seed"]: run for run in row["trajectories"]} for row in (own, reference)]
    common = sorted(set(runs[0]) & set(runs[1]))
    best = 100 * min(max(run["probe_robust"]) for run in reference["trajectories"])
    goals = [(best - points) / 100 for points in GOALS if best > points]
    if not goals or not common:
        return None
    reached = numpy.array([[[_reached(each[seed], goal) for goal in goals] for each in runs] for seed in common])
    saved = 1 - reached[:, 0] / reached[:, 1]
    never = numpy.isnan(saved)
    remark = f" ({int(never.sum())} of {never.size} never reached)" if never.any() else ""
    return best, 100 * numpy.where(never, -1.0, saved).mean(axis=1), remark


def _reached(run, goal):
    """The BP-epochs at which a run's held-out accuracy first reaches the goal; NaN if it never does."""
    robust, spent = numpy.array([0.0, *run["probe_robust"]]), numpy.array([0.0, *run["bp_epochs"]])
    places = numpy.flatnonzero(robust >= goal)
    if not len(places):
        return numpy.nan
    pair = slice(places[0] - 1, places[0] + 1)
    return float(numpy.interp(goal, robust[pair], spent[pair]))
