"""One measure of a row: its mean over repeats or seeds, its standard deviation, and the published value.

    {"value": 61.2, "n": 950, "values": [61.0, 61.1, 61.5], "spread": 0.26, "interval": [58.1, 64.2],
     "published": 70.1}

Fractions are in percent. spread: standard deviation over repeats (None for a single repeat). interval: Wilson's at 95 %
for the mean over repeats, of n examples.
"""

from collections.abc import Mapping, Sequence

import numpy

from reporting import bootstrap, statistics

COUNTS = ("failed", "right", "total")  # numbers of images, or lists of them by class, in some measures


def share(flags: Sequence[numpy.ndarray], published: float | None = None) -> dict:
    """The measure of boolean flags, in percent.

    flags: one boolean array (n,) for each repeat
    published: the paper's value in percent
    """
    values = [float(numpy.mean(repeat)) for repeat in flags]
    n = len(flags[0])
    return measure([100 * value for value in values], n, published) | {"interval": _interval(numpy.mean(values), n)}


def median(distances: Sequence[numpy.ndarray]) -> dict:
    """The measure of distances: their median. The value is None if the attack failed on half of the images or more.

    distances: one float array (n,) for each repeat; NaN (no adversarial exists) counts as infinitely far
    """
    values = [float(numpy.median(numpy.where(numpy.isnan(repeat), numpy.inf, repeat))) for repeat in distances]
    if not numpy.isfinite(values).all():
        return {"value": None, "n": len(distances[0]), "values": [], "spread": None, "published": None}
    return measure(values, len(distances[0]), digits=5)


def measure(values: Sequence[float], n: int, published: float | None = None, digits: int = 2) -> dict:
    """The measure of one number for each repeat, over n examples.

    published: the paper's value; digits: to which values are rounded
    """
    spread = round(float(numpy.std(values, ddof=1)), digits) if len(values) > 1 else None
    return {
        "value": round(float(numpy.mean(values)), digits),
        "n": n,
        "values": [round(value, digits) for value in values],
        "spread": spread,
        "published": published,
    }


def pooled(measures: list[dict], seeds: Sequence[int] | None = None) -> dict:
    """One measure for several seeds.

    value: mean of the seeds' means; spread: the standard deviation of these means; values: those of all repeats; n and
    counts of images: their sums; interval: Wilson's of value and n.

    seeds: the number of seeds that each measure is of already (None: one each)
    Raises ValueError for a measure of several seeds whose repeats cannot be told apart.
    """
    first, n = measures[0], sum(each["n"] for each in measures)
    if any(each["value"] is None for each in measures):
        return {**first, "value": None, "n": n, "spread": None, "values": []}
    pairs = zip(measures, seeds or [1] * len(measures), strict=True)
    means = [mean for each, count in pairs for mean in _of_seeds(each, count)]
    result = measure(means, n, first["published"], digits=5)
    result["values"] = [value for each in measures for value in each["values"]]
    counts = [name for name in COUNTS if all(name in each for each in measures)]
    result |= {name: added([each[name] for each in measures]) for name in counts}
    return result | ({"interval": _interval(result["value"] / 100, n)} if "interval" in first else {})


def _of_seeds(measure, count):
    """The mean of each of a measure's seeds, which have equally many repeats, one seed after the other."""
    if count == 1:
        return [measure["value"]]
    if len(measure["values"]) % count:
        raise ValueError(f"{len(measure['values'])} values of {count} seeds, expected as many repeats of each seed")
    return numpy.reshape(measure["values"], (count, -1)).mean(axis=1).tolist()


def added(values: list) -> list | dict | float:
    """The sum of several numbers or nested lists of numbers; dictionaries are added entry by entry."""
    if isinstance(values[0], dict):
        return {name: added([each[name] for each in values]) for name in values[0]}
    return numpy.sum([numpy.asarray(value) for value in values], axis=0).tolist()


def together(values: list) -> list | dict:
    """Several lists joined into one; dictionaries are joined entry by entry."""
    if isinstance(values[0], dict):
        return {name: together([each[name] for each in values]) for name in values[0]}
    return [item for each in values for item in each]


def _interval(share, n):
    """Wilson's interval in percent. share: fraction, the mean over repeats; n: number of examples."""
    interval = statistics.wilson(round(n * float(share)), n)
    return [round(100 * interval.low, 2), round(100 * interval.high, 2)]


def difference_interval(measured: Mapping) -> statistics.Interval:
    """The interval of a row's difference, in points.

    Older rows do not tell how many images differ. They have [0, 0] if none does (bootstrap.none_seen), and a bootstrap
    also where few do: at least as many as the value says, and the interval is no narrower than if these alone did.
    """
    (low, high), value, n = measured["interval"], measured["value"], measured["n"]
    if "gained" in measured:
        return statistics.Interval(value, low, high)
    if not low and not high:
        none = bootstrap.none_seen(n)
        return statistics.Interval(0.0, 100 * none.low, 100 * none.high)
    stored, differing = statistics.Interval(value, low, high), round(abs(value) * n / 100)
    if not 0 < differing < bootstrap.EXACT:
        return stored
    signs = (differing, 0) if value > 0 else (0, differing)
    return statistics.around(stored, bootstrap.of_signs(*signs, abs(value)))
