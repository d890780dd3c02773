"""One measure of a row: its mean over repeats or seeds, how it spread, and what was published beside it.

    {"value": 61.2, "n": 950, "values": [61.0, 61.1, 61.5], "spread": 0.26, "interval": [58.1, 64.2],
     "published": 70.1}

Fractions are in percent; spread is the standard deviation over repeats (None for one); the interval is Wilson's at 95 %
for the mean over repeats, of n examples.
"""

import numpy

from reporting import statistics

COUNTS = ("failed", "right", "total")  # numbers of images, or lists of them by class, that some measures have


def share(flags, published=None):
    """The measure of one boolean array a repeat: list of (n,) -> dict. published: the paper's value in percent."""
    values = [float(numpy.mean(repeat)) for repeat in flags]
    n = len(flags[0])
    return measure([100 * value for value in values], n, published) | {"interval": _interval(numpy.mean(values), n)}


def median(distances):
    """The measure of one float array a repeat: its median, NaN (no adversarial found) counting as infinitely far.

    The value is None where a median is infinite: the attack failed on half of the images or more.
    """
    values = [float(numpy.median(numpy.where(numpy.isnan(repeat), numpy.inf, repeat))) for repeat in distances]
    if not numpy.isfinite(values).all():
        return {"value": None, "n": len(distances[0]), "values": [], "spread": None, "published": None}
    return measure(values, len(distances[0]), digits=5)


def measure(values, n, published=None, digits=2):
    """The measure of one number a repeat, over n examples, rounded to so many digits."""
    spread = round(float(numpy.std(values, ddof=1)), digits) if len(values) > 1 else None
    return {
        "value": round(float(numpy.mean(values)), digits),
        "n": n,
        "values": [round(value, digits) for value in values],
        "spread": spread,
        "published": published,
    }


def pooled(found):
    """One measure for several seeds: the mean over seeds of their means, the standard deviation of those as spread, n
    and counts of images added up, Wilson's interval of both; values are those of all repeats."""
    first, n = found[0], sum(one["n"] for one in found)
    if any(one["value"] is None for one in found):
        return {**first, "value": None, "n": n, "spread": None, "values": []}
    made = measure([one["value"] for one in found], n, first["published"], digits=5)
    made["values"] = [value for one in found for value in one["values"]]
    counts = [name for name in COUNTS if all(name in one for one in found)]
    made |= {name: added([one[name] for one in found]) for name in counts}
    return made | ({"interval": _interval(made["value"] / 100, n)} if "interval" in first else {})


def added(values):
    """The sum of several numbers or nested lists of them; of dictionaries, entry by entry."""
    if isinstance(values[0], dict):
        return {name: added([one[name] for one in values]) for name in values[0]}
    return numpy.sum([numpy.asarray(value) for value in values], axis=0).tolist()


def together(values):
    """Several lists in one; of dictionaries, entry by entry."""
    if isinstance(values[0], dict):
        return {name: together([one[name] for one in values]) for name in values[0]}
    return [one for each in values for one in each]


def _interval(share, n):
    """In percent, of a mean share over repeats."""
    found = statistics.wilson(round(n * float(share)), n)
    return [round(100 * found.low, 2), round(100 * found.high, 2)]
