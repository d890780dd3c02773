"""The published conclusions on guided retraining, each with what the rows of one data set and model say of it."""

import numpy

from results import claims, guided
from results.claims import Claim

SOURCE = "Durán, Martínez-Fernández, Felderer, Franch, PeerJ CS 9:e1454, 2023"
EARLIER = "Durán et al., arXiv 2207.03689"
POINT = 0.5  # of accuracy, in points: less counts for nothing
UNCERTAIN, SURPRISED = ("deepgini", "softmax_entropy"), ("lsa", "dsa")


def guided_claims(rows):
    """A Table of the claims for the rows (pooled over seeds) of one data set and model."""
    dataset, model = rows[0]["dataset"], rows[0]["model"]
    found = [claim(_table(rows)) for claim in (c2_uncertainty, surprise, few, coverage_worst, c3_cheap, c1_or_c2)]
    return claims.table(f"{guided.name_of(dataset, model)}-claims", f"{dataset}, {model}: the conclusions", found)


def _table(rows):
    return {(row["configuration"], row["metric"]): row for row in rows}


def _mean(table, keys, measure="area"):
    """The mean of a measure over those of the keys that there are, None without."""
    found = [table[key]["measures"][measure]["value"] for key in keys if key in table]
    return float(numpy.mean(found)) if found else None


def _noise(table):
    """Half of the 95 % interval of one accuracy, in points: what a difference has to exceed."""
    row = next(iter(table.values()))
    share, n = row["measures"]["best"]["value"] / 100, row["measures"]["best"]["n"]
    return max(POINT, 196 * float(numpy.sqrt(max(share * (1 - share), 1e-4) / n)))


def _ahead(table, keys, others, measure="area"):
    """(mean of the keys, of the others, their difference); None where either is empty."""
    one, other = _mean(table, keys, measure), _mean(table, others, measure)
    return (one, other, None if one is None or other is None else one - other)


def c2_uncertainty(table):
    """C2 with an uncertainty order is best: in C2 ahead of the other orders, random among them, and of all else."""
    text = "C2 ordered by uncertainty (DeepGini, entropy) is best"
    keys = [("c2", metric) for metric in UNCERTAIN]
    others = [key for key in table if key[0] == "c2" and key not in keys]
    one, other, difference = _ahead(table, keys, others)
    if difference is None:
        return Claim(text, SOURCE, "C2 was not run with an uncertainty order beside others", "not measured")
    best = max(table, key=lambda key: table[key]["measures"]["best"]["value"])
    said = f"mean area {one:.2f} %, of C2's other orders {other:.2f} %; the best accuracy of all is {'-'.join(best)}'s"
    verdict = claims.verdict(difference, _noise(table))
    return Claim(text, SOURCE, said, "undecided" if verdict == "holds" and best not in keys else verdict)


def surprise(table):
    """The earlier version: surprise adequacy is best."""
    text = "Surprise adequacy orders best (the earlier version)"
    configurations = sorted({name for name, _ in table})
    one, other, difference = _ahead(
        table,
        [(name, metric) for name in configurations for metric in SURPRISED],
        [(name, metric) for name in configurations for metric in UNCERTAIN],
    )
    if difference is None:
        return Claim(text, EARLIER, "surprise was not run beside uncertainty", "not measured")
    said = f"mean area of LSA and DSA {one:.2f} %, of DeepGini and entropy {other:.2f} %"
    return Claim(text, EARLIER, said, claims.verdict(difference, _noise(table)))


def few(table):
    """The best accuracy needs few of the inputs."""
    text = "An uncertainty order in C2 reaches its best with few inputs"
    found = [table[key] for key in (("c2", metric) for metric in UNCERTAIN) if key in table]
    if not found:
        return Claim(text, SOURCE, "C2 was not run with an uncertainty order", "not measured")
    shares, said = [], []
    for row in found:
        total = max(one["inputs"] for one in row["curves"][0])
        shares.append(row["measures"]["inputs-to-best"]["value"] / total)
        within = row["measures"]["inputs-to-99"]["value"] / total
        said.append(f"{row['metric']} {100 * shares[-1]:.0f} % of them (99 % of the best: {100 * within:.0f} %)")
    mean = float(numpy.mean(shares))
    return Claim(
        text, SOURCE, "; ".join(said), "holds" if mean <= 0.5 else "does not hold" if mean > 0.75 else "undecided"
    )


def coverage_worst(table):
    """Neuron coverage is the worst order of the metrics."""
    text = "Neuron coverage orders worst of the metrics"
    configurations = sorted({name for name, metric in table if metric == "neuron_coverage"})
    metrics = {metric for name, metric in table if name in configurations} - {"neuron_coverage", "random"}
    if not configurations or not metrics:
        return Claim(text, SOURCE, "neuron coverage was not run beside others", "not measured")
    areas = {one: _mean(table, [(name, one) for name in configurations]) for one in metrics}
    ours, random = (_mean(table, [(name, one) for name in configurations]) for one in ("neuron_coverage", "random"))
    next_worst = min(areas, key=areas.get)
    beside = "" if random is None else f", at random {random:.2f} %"
    said = f"mean area {ours:.2f} %, of the next worst, {next_worst}, {areas[next_worst]:.2f} %{beside}"
    return Claim(text, SOURCE, said, claims.verdict(areas[next_worst] - ours, _noise(table)))


def c3_cheap(table):
    """C3 comes close to C2 in a third to a ninth of the time."""
    text = "C3 is close to C2, in a third to a ninth of the time"
    metrics = [metric for name, metric in table if name == "c3" and ("c2", metric) in table]
    if not metrics:
        return Claim(text, SOURCE, "C2 and C3 were not run with the same order", "not measured")
    loss = float(numpy.mean([_best(table, "c2", metric) - _best(table, "c3", metric) for metric in metrics]))
    ratio, spent = (float(numpy.mean([of(table, "c2", metric) / of(table, "c3", metric) for metric in metrics]))
                    for of in (_trained, _seconds))  # fmt: skip
    said = (
        f"best accuracy {loss:+.2f} points behind, a {ratio:.1f}th of the images trained on, a {spent:.1f}th of the "
        f"seconds; mean of {len(metrics)} orders"
    )
    verdict = "undecided"
    if loss <= max(1.0, _noise(table)) and ratio >= 3:
        verdict = "holds"
    elif ratio < 3 or loss > 3:
        verdict = "does not hold"
    return Claim(text, SOURCE, said, verdict)


def c1_or_c2(table):
    """Which has the higher maximum: the published curves say C1 on three data sets, the text C2."""
    text = "C2's best is above C1's"
    metrics = [metric for name, metric in table if name == "c1" and ("c2", metric) in table]
    if not metrics:
        return Claim(text, SOURCE, "C1 and C2 were not run with the same order", "not measured")
    differences = [_best(table, "c2", metric) - _best(table, "c1", metric) for metric in metrics]
    said = f"C2 minus C1, points of best accuracy: {min(differences):+.2f} to {max(differences):+.2f}"
    return Claim(text, SOURCE, said, claims.verdict(float(numpy.mean(differences)), _noise(table)))


def _best(table, name, metric):
    return table[name, metric]["measures"]["best"]["value"]


def _trained(table, name, metric):
    """Images of all prefixes, which the time follows on a machine that does nothing else."""
    return float(numpy.mean([sum(one["inputs"] for one in curve) for curve in table[name, metric]["curves"]]))


def _seconds(table, name, metric):
    return float(numpy.mean([sum(one["seconds"] for one in curve) for curve in table[name, metric]["curves"]]))
