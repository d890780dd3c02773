"""How far methods differ from controls on the same images, with intervals, and run by run, with a test.

A method has shown something beyond a control only where it exceeds it. Both are tested on the same images, so their
difference is surer than the intervals of the two shares suggest: it is measured image by image.

    rows = attach(rows, {(study, dataset, model, method): [folder of test-<method>, one a seed], ...})
    tables = difference_tables(rows)

A row that has been attached to carries what it needs, so that tables are made again from published rows alone:

    "differences": {"swa": {"er/fgsm": {"value": -5.0, "interval": [-7.1, -2.8], "n": 992, "runs": [-5.2, -4.8],
                                        "p": null, "why": "2 paired runs, ..."}, ...}, ...}
"""

import dataclasses
import pathlib

import numpy

from dare.flags import Flags
from reporting import marks, notes, order, statistics
from reporting import row as result_row
from reporting.cell import cell_name
from reporting.tables import Cell, Label, Table, signed
from studies.dare import tables

REFERENCES = ("swa", "checkpoint", "weight-noise", "tune-clean")  # what the tables of differences show
ROLES = ("method", "baseline")

POINTS = (
    "Points by which the method exceeds the control on the same images; a negative one falls behind. In brackets: 95 % "
    f"interval, paired bootstrap over images ({statistics.RESAMPLES:,} resamples); one that holds 0 leaves open which "
    "is better. It says how sure the difference is for other images, not for other source models or tunings."
)
DETECTABLE = (
    "A true difference shows in four such comparisons of five from so many points on (half of the interval, and two "
    "fifths more for the luck of the draw; median and largest over the lines): {}."
)
RUNS = (
    "Paired runs: the same source model and number of repeat; a control with fewer repeats stands beside several, of "
    "one with more those that were made of the same repeat are averaged. p: one-sided Wilcoxon signed-rank test that "
    f"the method exceeds the control, exact. Below {statistics.LEAST_PAIRS} pairs no p can be below .05, and the "
    "differences themselves are printed, in points."
)


@dataclasses.dataclass(frozen=True)
class Difference:
    """By how much `method` exceeds `reference` in one measure, in points, with the interval [low, high] over n images.

    runs: the difference of each paired run; p: of the one-sided signed-rank test over these, None with the reason why.
    """

    method: str
    reference: str
    measure: str
    value: float
    low: float
    high: float
    n: int
    runs: tuple
    p: float | None
    why: str


def differences(flags_by_method, *, references=REFERENCES, methods=None):
    """Compare methods with references in every measure that both have. Returns a list of Difference.

    flags_by_method: name -> {seed: [dare.flags.Flags of each repeat]}; methods: names (None: all that are no
    reference). Seeds that the two do not share are left out, and so are images (rows of Flags.index) of one alone.
    Raises ValueError where repeats of a seed were tested on other data.
    """
    chosen = [name for name in flags_by_method if name not in references] if methods is None else methods
    found = []
    for method in chosen:
        for reference in (name for name in references if name in flags_by_method and name != method):
            first, second = flags_by_method[method], flags_by_method[reference]
            seeds = sorted(set(first) & set(second))
            _check(method, reference, [*(first[seed] for seed in seeds), *(second[seed] for seed in seeds)])
            pairs = [(first[seed], second[seed]) for seed in seeds]
            found += [_difference(method, reference, measure, pairs) for measure in _measures(pairs)]
    return found


def _check(method, reference, tested):
    data = {flags.data for repeats in tested for flags in repeats}
    if len(data) > 1:
        raise ValueError(f"{method} and {reference} were tested on {len(data)} different data sets: test them again")


def _measures(pairs):
    """The measures that every repeat has on images that all share."""
    every = [flags for pair in pairs for repeats in pair for flags in repeats]
    return [name for name in every[0].label if all(name in flags.label for flags in every)] if every else []


def _difference(method, reference, measure, pairs):
    strata, first, second = [], [], []
    for ours, theirs in pairs:
        common = ours[0].index[measure]
        for flags in (*ours, *theirs):
            common = numpy.intersect1d(common, flags.index[measure])
        one, other = (numpy.array([_take(flags, measure, common) for flags in repeats]) for repeats in (ours, theirs))
        strata.append(one.mean(axis=0) - other.mean(axis=0))
        for repeat in range(len(one)):
            beside = other[repeat :: len(one)] if repeat < len(other) else other[[repeat % len(other)]]
            first.append(100 * one[repeat].mean())
            second.append(100 * beside.mean())
    found, test_of_runs = statistics.paired_bootstrap(strata), statistics.signed_rank(first, second)
    return Difference(
        method=method,
        reference=reference,
        measure=measure,
        value=round(100 * found.value, 2),
        low=round(100 * found.low, 2),
        high=round(100 * found.high, 2),
        n=sum(map(len, strata)),
        runs=tuple(round(float(a - b), 2) for a, b in zip(first, second, strict=True)),
        p=test_of_runs.p,
        why=test_of_runs.why,
    )


def _take(flags, measure, rows):
    order = numpy.argsort(flags.index[measure])
    return flags.correct[measure][order[numpy.searchsorted(flags.index[measure], rows, sorter=order)]]


def attach(rows, folders):
    """The rows, each of a method or baseline with its "differences"; those of which there are no flags as they are.

    A method is compared with every other row of its cell, a baseline with REFERENCES.
    rows: pooled (reporting.row); folders: (study, dataset, model, method) -> the folders of its flags-*.h5, one a seed.
    """
    made = {}
    for cell in {_cell(row) for row in rows}:
        own = [row for row in rows if _cell(row) == cell]
        flags = {row["method"]: _read(folders.get((*cell, row["method"]), [])) for row in own}
        flags = {method: seeds for method, seeds in flags.items() if seeds}
        methods = [row["method"] for row in own if row["role"] in ROLES and row["method"] in flags]
        found = []
        for row in (row for row in own if row["method"] in methods):
            references = tuple(flags) if row["role"] == "method" else REFERENCES
            found += differences(flags, references=references, methods=[row["method"]])
        made |= {(*cell, name): _as_json([one for one in found if one.method == name]) for name in methods}
    keys = [(*_cell(row), row["method"]) for row in rows]
    return [
        result_row.detailed(row, differences=made[key]) if key in made else row
        for row, key in zip(rows, keys, strict=True)
    ]


def _cell(row):
    return row["study"], row["dataset"], row["model"]


def _read(folders):
    """seed folder -> the Flags of its repeats, in their order."""
    found = {}
    for folder in map(pathlib.Path, folders):
        paths = sorted(folder.glob("flags-*.h5"), key=lambda path: int(path.stem.split("-")[1]))
        if paths:
            found[folder.parent.name] = [Flags.load(path) for path in paths]
    return found


def _as_json(made):
    found = {}
    for one in made:
        kept = {"value": one.value, "interval": [one.low, one.high], "n": one.n, "runs": list(one.runs)}
        found.setdefault(one.reference, {})[one.measure] = kept | {"p": one.p, "why": one.why}
    return found


def difference_tables(rows):
    """Two tables for each data set and model: points with intervals (-differences), and run by run (-runs)."""
    made = []
    for (study, dataset, model), methods in tables.cells(rows).items():
        lines = [(row, name, row.get("differences", {}).get(name)) for row in methods for name in REFERENCES]
        lines = [line for line in lines if line[2] is not None]
        name = f"{study}-{cell_name(dataset, model)}"
        measures = _columns(methods, [found for _, _, found in lines])
        said = notes.numbers(methods, [])
        if any(measure.startswith("white-box/") for measure in measures):
            said += [*marks.margins(methods), *marks.saturation(methods)]
        for what, title, cell, noted in (
            ("differences", "in points", _interval, (POINTS, _detectable([one for _, _, one in lines], measures))),
            ("runs", "run by run", _runs, (RUNS,)),
        ):
            if measures:
                title = f"{dataset}, {model}: what methods have beyond controls, {title}"
                made.append(_table(f"{name}-{what}", title, methods, lines, measures, cell, (*noted, *said)))
    return made


def _columns(rows, found):
    """measure -> heading: clean, Empirical Robustness, white box (of several attacks the worst case alone)."""
    names = {"clean": "clean"}
    names |= {f"er/{attack}": attack for attack in order.attacks(rows)} | {"er/worst": "worst case"}
    balls = order.attacks(rows, "white-box")
    worst = [ball for ball in balls if ball.startswith("worst@")]
    names |= {f"white-box/{ball}": f"white box {ball}" for ball in worst or balls}
    return {measure: name for measure, name in names.items() if any(measure in one for one in found)}


def _detectable(found, measures):
    """The sentence on the smallest difference that would have shown, of each measure."""
    said = []
    for measure, heading in measures.items():
        sizes = [statistics.detectable(_ends(one[measure])) for one in found if measure in one]
        said.append(f"{heading} {numpy.median(sizes):.1f} ({max(sizes):.1f})")
    return DETECTABLE.format("; ".join(said))


def _table(name, title, methods, lines, measures, cell, said):
    raised = {row["method"]: marks.raised(row) for row in methods}
    rows = []
    for row, reference, found in lines:
        text = f"{row['method']} vs. {reference}"
        names = tuple(dict.fromkeys([*marks.raised(row), *raised.get(reference, ())]))
        rows.append((Label(text, names) if names else text, *(cell(found.get(measure)) for measure in measures)))
    return Table(name, title, ("method vs. control", *measures.values()), tuple(rows), said)


def _interval(one):
    return Cell(None) if one is None else Cell(one["value"], low=_ends(one).low, high=_ends(one).high)


def _ends(one):
    """The interval of a row's difference, in points; of one that no image showed in older rows too."""
    low, high = one["interval"]
    if low or high:
        return statistics.Interval(one["value"], low, high)
    found = statistics.none_seen(one["n"])
    return statistics.Interval(0.0, 100 * found.low, 100 * found.high)


def _runs(one):
    if one is None:
        return "-"
    if one["p"] is None:
        return ", ".join(signed(value, 1) for value in one["runs"])
    return f"p = {one['p']:.2g} (n = {len(one['runs'])})"
