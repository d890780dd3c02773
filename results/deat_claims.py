"""The four claims of DEAT (arXiv 2103.03076), each with what the rows of one data set and model say of it.

A difference of two methods has an interval over seeds: their deviation, which contains that of the test images since
each seed draws its own, is pooled over all methods of the cell with several seeds. Where none has, nothing "holds".
"""

import dataclasses
import math

import numpy
import scipy.stats

from results import claims, robust_training
from results.claims import Claim

SOURCE = "Wang, Zhang, Zheng, Ruan, arXiv 2103.03076"
MARGIN = 1.0  # points of robust accuracy that count for nothing
GOALS = (1.0, 2.0, 4.0)  # points below the other's best held-out accuracy at which DEAT's saving is read
SAVED = 0.1  # share of the BP-epochs that has to be saved, or lost, to count
EPOCHS = 8  # of a run whose course is to be correlated, at least


@dataclasses.dataclass(frozen=True)
class Difference:
    """one minus other: points of worst-case accuracy; half: of the width of their 95 % interval (None: one seed)."""

    one: str
    other: str
    mean: float
    half: float | None

    def __str__(self):
        return f"{self.one} minus {self.other} {self.mean:+.1f}{'' if self.half is None else f' ± {self.half:.1f}'}"

    def verdict(self, margin):
        """Whether `one` is better than `other` less the margin."""
        if self.half is None:
            return "undecided"
        low, high = self.mean - self.half, self.mean + self.half
        return "holds" if low > -margin else "does not hold" if high < -margin else "undecided"


def deat_claims(rows):
    """A Table of the four claims for the rows (pooled over seeds) of one data set and model."""
    methods = {row["method"]: row for row in rows}
    dataset, model = rows[0]["dataset"], rows[0]["model"]
    name = f"robust_training-{dataset.replace(':', '-').replace('/', '-')}-{model}-claims"
    found = [redundant(methods), level(methods), lipschitz(rows), cheaper(methods)]
    table = claims.table(name, f"{dataset}, {model}: the claims of DEAT", found)
    return dataclasses.replace(table, notes=(*robust_training.older(rows), *table.notes))


def redundant(methods):
    """Claim 1: at one budget, more attack iterations a batch do not buy robustness.

    Fewer steps leave room for more updates, so that a gain would not be the steps' own: at best undecided.
    """
    claim = "Redundant attack iterations hurt robustness late in training"
    pairs = [("free-4", "free-8"), ("fat-5", "fat"), ("pgd-7", "pgd-10")]
    found = _compared(claim, methods, pairs, 0.0)
    if found.verdict != "holds":
        return found
    said = f"{found.evidence}; fewer steps leave room for more updates, which may be the cause"
    return dataclasses.replace(found, evidence=said, verdict="undecided")


def level(methods):
    """Claim 2: enough adversarial quality at each time is enough: M+X is no worse than X, by a point at most."""
    claim = "Keeping the quality of adversarial examples at a level is enough"
    return _compared(claim, methods, [("m+trades", "trades"), ("m+mart", "mart"), ("m+pgd", "pgd-7")], MARGIN)


def _compared(text, methods, pairs, margin):
    """A claim on pairs of methods that spent the same BP-epochs, within a twentieth: the weakest pair decides."""
    found = [_difference(methods, *pair) for pair in pairs if _at_one_budget(methods, *pair)]
    if not found:
        return Claim(text, SOURCE, "no such pair was trained for as many BP-epochs", "not measured")
    verdicts = {one.verdict(margin) for one in found}
    said = f"worst case at equal BP-epochs, points: {'; '.join(map(str, found))} ({_of_seeds(methods)})"
    weakest = next(one for one in ("does not hold", "undecided", "holds") if one in verdicts)
    return Claim(text, SOURCE, said, weakest)


def _at_one_budget(methods, *names):
    if any(name not in methods or robust_training.worst(methods[name])["value"] is None for name in names):
        return False
    spent = [methods[name]["hyperparameters"]["bp_epochs"] for name in names]
    return abs(spent[0] - spent[1]) <= 0.05 * max(spent)


def _difference(methods, one, other):
    values = [robust_training.worst(methods[name])["values"] for name in (one, other)]
    variance, freedom = _seeds(methods)
    half = None
    if freedom:
        error = math.sqrt(variance * sum(1 / len(each) for each in values))
        half = float(scipy.stats.t.ppf(0.975, freedom)) * error
    return Difference(one, other, float(numpy.mean(values[0]) - numpy.mean(values[1])), half)


def _seeds(methods):
    """(variance of the worst case over seeds, its degrees of freedom), of all methods that the guard never ended."""
    several = [
        robust_training.worst(row)["values"]
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
    values, and of their changes from epoch to epoch, since two series that both rise always agree; without the last
    epoch, which a budget may cut short, and without those that took no gradient (the rule of 2021 at no step).
    """
    claim = "The gradient magnitude tracks the local Lipschitz constant"
    said, middles = [], []
    for which, name in (("held-out", "probe_magnitude"), ("guiding", "magnitude")):
        chosen = [
            numpy.array([one[name], one["probe_lipschitz"]])
            for row in rows
            if row["role"] != "control" and (which == "held-out" or row["method"].startswith("m+"))
            for one in row["trajectories"]
        ]
        chosen = [both[:, both[0] > 0] for both in chosen]
        series = [both[:, :-1] for both in chosen if both.shape[1] >= EPOCHS]
        levels, changes = ([_rank_correlation(part(each)) for each in series] for part in (numpy.asarray, numpy.diff))
        levels, changes = ([float(one) for one in each if not numpy.isnan(one)] for each in (levels, changes))
        if levels and changes:
            middles += [float(numpy.median(each)) for each in (levels, changes)]
            said.append(
                f"{which} magnitude, median of {len(levels)} runs {middles[-2]:.2f} ({min(levels):.2f} to "
                f"{max(levels):.2f}), of their changes {middles[-1]:.2f}"
            )
    if len(said) < 2:
        return Claim(claim, SOURCE, f"no guided run of at least {EPOCHS} epochs", "not measured")
    verdict = "holds" if min(middles) > 0.5 else "does not hold" if max(middles) < 0 else "undecided"
    return Claim(claim, SOURCE, f"Spearman's rank correlation over epochs: {'; '.join(said)}", verdict)


def _rank_correlation(both):
    """Spearman's; NaN where one of the two is constant."""
    if (both.max(axis=1) == both.min(axis=1)).any():
        return numpy.nan
    return scipy.stats.spearmanr(*both).statistic


def cheaper(methods):
    """Claim 4: DEAT reaches the robustness of PGD and FREE in up to 40 % less time, here in fewer BP-epochs.

    It holds where a tenth is saved at every goal below the other's best held-out accuracy, since a few of some hundred
    images decide when one goal is reached, and the worst case on test images is not lower beyond its interval.
    """
    claim = "Up to 40 % less time at equal robustness"
    said, savings, worse = [], [], []
    for name in ("free-8", "pgd-7"):
        if "m+deat" in methods and name in methods:
            best = 100 * min(max(one["probe_robust"]) for one in methods[name]["trajectories"])
            goals = [(best - points) / 100 for points in GOALS if best > points]
            if not goals:
                continue
            found = [(_reached(methods["m+deat"], goal), _reached(methods[name], goal)) for goal in goals]
            own = [1 - ours / theirs if ours else -1.0 for ours, theirs in found]
            savings += own
            difference = _difference(methods, "m+deat", name)
            worse.append(difference.verdict(0.0) == "does not hold")
            parts = [f"{100 * one:+.0f} %" if ours else "never" for one, (ours, _) in zip(own, found, strict=True)]
            said.append(f"beside {name} (best {best:.1f} %) {', '.join(parts)}, in the worst case {difference}")
    if not said:
        return Claim(claim, SOURCE, "m+deat was not trained beside a robust free-8 or pgd-7", "not measured")
    points = ", ".join(f"{one:.0f}" for one in GOALS)
    evidence = f"BP-epochs that m+deat saves to {points} points below the other's best held-out: {'; '.join(said)}"
    if min(savings) > SAVED and not any(worse) and _seeds(methods)[1]:
        return Claim(claim, SOURCE, evidence, "holds")
    return Claim(claim, SOURCE, evidence, "does not hold" if max(savings) < -SAVED else "undecided")


def _reached(row, goal):
    """The mean over seeds of the BP-epochs at which the probe first reaches the goal; None where a seed never does."""
    reached = []
    for one in row["trajectories"]:
        robust, spent = numpy.array([0.0, *one["probe_robust"]]), numpy.array([0.0, *one["bp_epochs"]])
        places = numpy.flatnonzero(robust >= goal)
        if not len(places):
            return None
        last = places[0]
        pair = slice(last - 1, last + 1)
        reached.append(float(numpy.interp(goal, robust[pair], spent[pair])))
    return float(numpy.mean(reached))
