"""The four claims of DEAT (arXiv 2103.03076), each with what the rows of one data set and model say of it."""

import numpy
import scipy.stats

from results import claims, robust_training
from results.claims import Claim

SOURCE = "Wang, Zhang, Zheng, Ruan, arXiv 2103.03076"
MARGIN = 1.0  # points of robust accuracy that are taken for a difference


def deat_claims(rows):
    """A Table of the four claims for the rows (pooled over seeds) of one data set and model."""
    methods = {row["method"]: row for row in rows}
    dataset, model = rows[0]["dataset"], rows[0]["model"]
    name = f"robust_training-{dataset.replace(':', '-').replace('/', '-')}-{model}-claims"
    found = [redundant(methods), level(methods), lipschitz(rows), cheaper(methods)]
    return claims.table(name, f"{dataset}, {model}: the claims of DEAT", found)


def redundant(methods):
    """Claim 1: at one budget, more attack iterations a batch do not buy robustness."""
    pairs = [("free-4", "free-8"), ("fat-5", "fat"), ("pgd-7", "pgd-10")]
    found = [(few, many, _worst(methods, few), _worst(methods, many)) for few, many in pairs]
    found = [one for one in found if None not in one]
    evidence = "; ".join(f"{few} {a:.1f}, {many} {b:.1f}" for few, many, a, b in found)
    mean = numpy.mean([a - b for _, _, a, b in found]) if found else None
    return Claim(
        "Redundant attack iterations hurt robustness late in training",
        SOURCE,
        f"worst case at equal BP-epochs, %: {evidence}" if found else "fewer and more iterations were not both trained",
        claims.verdict(mean, MARGIN),
    )


def level(methods):
    """Claim 2: enough adversarial quality at each time is enough: M+X is no worse than X."""
    pairs = [(f"m+{name}", name) for name in ("trades", "mart")] + [("m+pgd", "pgd-7")]
    found = [(guided, fixed, _worst(methods, guided), _worst(methods, fixed)) for guided, fixed in pairs]
    found = [one for one in found if None not in one]
    evidence = "; ".join(f"{guided} {a:.1f}, {fixed} {b:.1f}" for guided, fixed, a, b in found)
    least = min((a - b for _, _, a, b in found), default=None)
    return Claim(
        "Keeping the quality of adversarial examples at a level is enough",
        SOURCE,
        f"worst case at equal BP-epochs, %: {evidence}" if found else "no method was trained with and without it",
        "not measured" if least is None else "holds" if least > -MARGIN else "does not hold",
    )


def lipschitz(rows):
    """Claim 3: over epochs, the gradient magnitude follows the local Lipschitz constant, both on held-out images."""
    correlations = []
    for row in rows:
        for one in row["trajectories"]:
            if len(one["probe_magnitude"]) >= 5:
                rank = scipy.stats.spearmanr(one["probe_magnitude"], one["probe_lipschitz"]).statistic
                correlations += [] if numpy.isnan(rank) else [float(rank)]
    if not correlations:
        evidence, verdict = "no run of at least five epochs", "not measured"
    else:
        middle = float(numpy.median(correlations))
        evidence = (
            f"Spearman's rank correlation over epochs: median {middle:.2f}, {min(correlations):.2f} to "
            f"{max(correlations):.2f} over {len(correlations)} runs"
        )
        verdict = "holds" if middle > 0.5 else "does not hold" if middle < 0 else "undecided"
    return Claim("The gradient magnitude tracks the local Lipschitz constant", SOURCE, evidence, verdict)


def cheaper(methods):
    """Claim 4: DEAT reaches the robustness of PGD and FREE in up to 40 % less time, here in fewer BP-epochs."""
    deat = methods.get("m+deat")
    found = []
    for name in ("free-8", "pgd-7"):
        if deat is None or name not in methods:
            continue
        goal = min(max(one["probe_robust"]) for one in methods[name]["trajectories"])
        ours, theirs = (_reached(methods[one], goal) for one in ("m+deat", name))
        if theirs:
            found.append((name, goal, ours, theirs))
    said = [
        f"{100 * goal:.1f} % held-out robust accuracy, {name}'s best: m+deat "
        + (f"{ours:.1f} BP-epochs, {name} {theirs:.1f}" if ours else f"not reached, {name} {theirs:.1f} BP-epochs")
        for name, goal, ours, theirs in found
    ]
    savings = [1 - ours / theirs if ours else -1.0 for _, _, ours, theirs in found]
    return Claim(
        "Up to 40 % less time at equal robustness",
        SOURCE,
        "; ".join(said) or "m+deat was not trained beside free-8 or pgd-7",
        claims.verdict(min(savings) if savings else None, 0.0),
    )


def _worst(methods, name):
    return robust_training.worst(methods[name])["value"] if name in methods else None


def _reached(row, goal):
    """The mean over seeds of the BP-epochs at which the probe first reaches the goal; None where a seed never does."""
    reached = []
    for one in row["trajectories"]:
        places = numpy.flatnonzero(numpy.array(one["probe_robust"]) >= goal - 1e-9)
        if not len(places):
            return None
        reached.append(one["bp_epochs"][places[0]])
    return float(numpy.mean(reached))
