"""The four claims of DEAT (arXiv 2103.03076), each with what the rows of one data set and model say of it."""

import numpy
import scipy.stats

from results import claims, robust_training
from results.claims import Claim

SOURCE = "Wang, Zhang, Zheng, Ruan, arXiv 2103.03076"
MARGIN = 1.0  # points of robust accuracy that count for nothing
SAVED = 0.1  # share of the BP-epochs that has to be saved, or lost, to count


def deat_claims(rows):
    """A Table of the four claims for the rows (pooled over seeds) of one data set and model."""
    methods = {row["method"]: row for row in rows}
    dataset, model = rows[0]["dataset"], rows[0]["model"]
    name = f"robust_training-{dataset.replace(':', '-').replace('/', '-')}-{model}-claims"
    found = [redundant(methods), level(methods), lipschitz(rows), cheaper(methods)]
    return claims.table(name, f"{dataset}, {model}: the claims of DEAT", found)


def redundant(methods):
    """Claim 1: at one budget, more attack iterations a batch do not buy robustness."""
    return _compared(
        "Redundant attack iterations hurt robustness late in training",
        methods,
        [("free-4", "free-8"), ("fat-5", "fat"), ("pgd-7", "pgd-10")],
        lambda low, high: "holds" if low > 0 else "does not hold" if high < 0 else "undecided",
    )


def level(methods):
    """Claim 2: enough adversarial quality at each time is enough: M+X is no worse than X."""
    return _compared(
        "Keeping the quality of adversarial examples at a level is enough",
        methods,
        [("m+trades", "trades"), ("m+mart", "mart"), ("m+pgd", "pgd-7")],
        lambda low, high: "holds" if low > -MARGIN else "does not hold" if high < -MARGIN else "undecided",
    )


def _compared(text, methods, pairs, judge):
    """A claim on the worst case of pairs of methods that spent the same BP-epochs, within a twentieth. judge: of the
    mean difference's ends, from the widths of the measures' own intervals, as of independent images."""
    found = []
    for one, other in pairs:
        if one in methods and other in methods and _alike(methods[one], methods[other]):
            values = [robust_training.worst(methods[name]) for name in (one, other)]
            if None not in [value["value"] for value in values]:
                found.append((one, other, *values))
    if not found:
        return Claim(text, SOURCE, "no such pair was trained for as many BP-epochs", "not measured")
    evidence = "; ".join(f"{one} {a['value']:.1f}, {other} {b['value']:.1f}" for one, other, a, b in found)
    differences = [a["value"] - b["value"] for _, _, a, b in found]
    halves = [(part["interval"][1] - part["interval"][0]) / 2 for _, _, *both in found for part in both]
    mean, reach = float(numpy.mean(differences)), float(numpy.linalg.norm(halves)) / len(found)
    said = f"worst case at equal BP-epochs, %: {evidence}; mean difference {mean:+.1f}, 95 % interval +- {reach:.1f}"
    return Claim(text, SOURCE, said, judge(mean - reach, mean + reach))


def _alike(one, other):
    spent = [row["hyperparameters"]["bp_epochs"] for row in (one, other)]
    return abs(spent[0] - spent[1]) <= 0.05 * max(spent)


def lipschitz(rows):
    """Claim 3: over epochs, the gradient magnitude follows the local Lipschitz constant, both on held-out images.

    Of each run's values, and of their changes from epoch to epoch, since two series that both rise always agree.
    """
    levels, changes = [], []
    for row in rows:
        for one in row["trajectories"] if row["role"] != "control" else ():
            if len(one["probe_magnitude"]) >= 5:
                both = numpy.array([one["probe_magnitude"], one["probe_lipschitz"]])
                levels.append(_rank_correlation(both))
                changes.append(_rank_correlation(numpy.diff(both)))
    claim = "The gradient magnitude tracks the local Lipschitz constant"
    levels, changes = ([float(one) for one in each if not numpy.isnan(one)] for each in (levels, changes))
    if not levels or not changes:
        return Claim(claim, SOURCE, "no run of at least five epochs", "not measured")
    middle = [float(numpy.median(each)) for each in (levels, changes)]
    said = (
        f"Spearman's rank correlation over epochs, median of {len(levels)} runs: {middle[0]:.2f} "
        f"({min(levels):.2f} to {max(levels):.2f}), of their changes {middle[1]:.2f}"
    )
    return Claim(
        claim, SOURCE, said, "holds" if min(middle) > 0.5 else "does not hold" if max(middle) < 0 else "undecided"
    )


def _rank_correlation(both):
    """Spearman's; NaN where one of the two is constant."""
    if (both.max(axis=1) == both.min(axis=1)).any():
        return numpy.nan
    return scipy.stats.spearmanr(*both).statistic


def cheaper(methods):
    """Claim 4: DEAT reaches the robustness of PGD and FREE in up to 40 % less time, here in fewer BP-epochs.

    The goal is a point below the other's best held-out accuracy; between two probes the accuracy is interpolated.
    """
    claim = "Up to 40 % less time at equal robustness"
    said, savings = [], []
    for name in ("free-8", "pgd-7"):
        if "m+deat" in methods and name in methods:
            goal = min(max(one["probe_robust"]) for one in methods[name]["trajectories"]) - MARGIN / 100
            ours, theirs = (_reached(methods[one], goal) for one in ("m+deat", name))
            savings.append(1 - ours / theirs if ours else -1.0)
            change = f"{100 * abs(savings[-1]):.0f} % {'fewer' if savings[-1] >= 0 else 'more'}"
            what = f"after {ours:.1f} BP-epochs, {change}" if ours else "never"
            said.append(f"{100 * goal:.1f} % held out: {name} after {theirs:.1f} BP-epochs, m+deat {what}")
    if not said:
        return Claim(claim, SOURCE, "m+deat was not trained beside free-8 or pgd-7", "not measured")
    return Claim(claim, SOURCE, "; ".join(said), claims.verdict(min(savings), SAVED))


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
