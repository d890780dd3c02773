"""Paired differences between methods and controls: on the same images with intervals, and run by run with a test.

A method has an effect of its own only if it exceeds the controls. Both are tested on the same images, so the interval
of the paired difference is narrower than the intervals of the two fractions suggest.

    rows = attach(rows, {(study, dataset, model, method): [folder of test-<method>, one a seed], ...})
    tables = difference_tables(rows)

An attached row contains its differences, so tables can be generated from published rows alone:

    "differences": {"swa": {"er/fgsm": {"value": -5.0, "interval": [-7.1, -2.8], "n": 992, "runs": [-5.2, -4.8],
                                        "p": null, "why": "2 paired runs, ..."}, ...}, ...}
"""

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Mapping, Sequence

import numpy

from dare.flags import Flags
from reporting import bootstrap, marks, notes, order, statistics
from reporting import row as result_row
from reporting.cell import cell_name
from reporting.measures import difference_interval
from reporting.tables import Cell, Label, Table, signed
from studies.dare import tables

REFERENCES = ("swa", "checkpoint", "weight-noise", "tune-clean")  # the controls in the tables of differences
ROLES = ("method", "baseline")

POINTS = (
    "Score of the method minus that of the control on the same images, in points. In brackets: 95 % interval, paired "
    f"bootstrap over images ({bootstrap.RESAMPLES:,} resamples). If it contains 0, the difference is not significant. "
    "It covers other images, but not other source models or tunings."
)
DETECTABLE = (
    "The smallest true difference that four of five such comparisons would show, in points (1.4 times half of the "
    "interval; median and largest over the lines): {}."
)
RUNS = (
    "Paired runs have the same source model and the same repeat. A control with fewer repeats is used for several; of "
    "a control with more repeats, those made from the same repeat are averaged. p: exact one-sided Wilcoxon "
    f"signed-rank test that the method exceeds the control. With fewer than {statistics.LEAST_PAIRS} pairs p cannot be "
    "below .05, and the differences are printed instead, in points."
)


@dataclasses.dataclass(frozen=True)
class Difference:
    """The score of `method` minus that of `reference` in one measure, in points.

    low, high: ends of the interval over n images
    gained, lost: images of positive and of negative difference
    runs: the difference of each paired run
    p: of the one-sided signed-rank test over the runs; None for the reason `why`
    """

    method: str
    reference: str
    measure: str
    value: float
    low: float
    high: float
    n: int
    gained: int
    lost: int
    runs: tuple
    p: float | None
    why: str


def differences(
    flags_by_method: dict, *, references: Sequence[str] = REFERENCES, methods: Sequence[str] | None = None
) -> list[Difference]:
    """Compare methods with references in every measure that both have, on shared seeds and images.

    flags_by_method: name -> {seed: [dare.flags.Flags of each repeat]}
    methods: names (None: all that are no reference)
    Raises ValueError if repeats of a seed were tested on different data.
    """
    chosen = [name for name in flags_by_method if name not in references] if methods is None else methods
    compared = []
    for method in chosen:
        for reference in (name for name in references if name in flags_by_method and name != method):
            first, second = flags_by_method[method], flags_by_method[reference]
            seeds = sorted(set(first) & set(second))
            _check(method, reference, [*(first[seed] for seed in seeds), *(second[seed] for seed in seeds)])
            pairs = [(first[seed], second[seed]) for seed in seeds]
            compared += [_difference(method, reference, measure, pairs) for measure in _measures(pairs)]
    return compared


def _check(method, reference, tested):
    data = {flags.data for repeats in tested for flags in repeats}
    if len(data) > 1:
        raise ValueError(f"{method} and {reference} were tested on {len(data)} different data sets: test them again")


def _measures(pairs):
    """The measures that every repeat has."""
    every = [flags for pair in pairs for repeats in pair for flags in repeats]
    return [name for name in every[0].label if all(name in flags.label for flags in every)] if every else []


def _difference(method, reference, measure, pairs):
    strata, first, second = [], [], []
    for ours, theirs in pairs:
        common = ours[0].index[measure]
        for flags in (*ours, *theirs):
            common = numpy.intersect1d(common, flags.index[measure])
        own, control = (numpy.array([_take(flags, measure, common) for flags in repeats]) for repeats in (ours, theirs))
        strata.append(own.mean(axis=0) - control.mean(axis=0))
        for repeat in range(len(own)):
            beside = control[repeat :: len(own)] if repeat < len(control) else control[[repeat % len(control)]]
            first.append(100 * own[repeat].mean())
            second.append(100 * beside.mean())
    interval, test_of_runs = bootstrap.paired_bootstrap(strata), statistics.signed_rank(first, second)
    gained, lost = bootstrap.signs(strata)
    return Difference(
        method=method,
        reference=reference,
        measure=measure,
        value=round(100 * interval.value, 2),
        low=round(100 * interval.low, 2),
        high=round(100 * interval.high, 2),
        n=sum(map(len, strata)),
        gained=gained,
        lost=lost,
        runs=tuple(round(float(a - b), 2) for a, b in zip(first, second, strict=True)),
        p=test_of_runs.p,
        why=test_of_runs.why,
    )


def _take(flags, measure, rows):
    order = numpy.argsort(flags.index[measure])
    return flags.correct[measure][order[numpy.searchsorted(flags.index[measure], rows, sorter=order)]]


def attach(rows: list, folders: dict) -> list:
    """The rows, with "differences" added to each method and baseline whose flags exist.

    A method is compared with every other row of its cell, a baseline with those that are no method.

    rows: pooled (reporting.row)
    folders: (study, dataset, model, method) -> the folders of its flags-*.h5, one for each seed
    """
    attached = {}
    for cell in {_cell(row) for row in rows}:
        own = [row for row in rows if _cell(row) == cell]
        flags = {row["method"]: flags_of(folders.get((*cell, row["method"]), [])) for row in own}
        flags = {method: seeds for method, seeds in flags.items() if seeds}
        methods = [row["method"] for row in own if row["role"] in ROLES and row["method"] in flags]
        compared = []
        for row in (row for row in own if row["method"] in methods):
            others = [each["method"] for each in own if row["role"] == "method" or each["role"] != "method"]
            references = tuple(name for name in others if name in flags)
            compared += differences(flags, references=references, methods=[row["method"]])
        attached |= {(*cell, name): _as_json([each for each in compared if each.method == name]) for name in methods}
    keys = [(*_cell(row), row["method"]) for row in rows]
    return [
        result_row.detailed(row, differences=attached[key]) if key in attached else row
        for row, key in zip(rows, keys, strict=True)
    ]


def _cell(row):
    return row["study"], row["dataset"], row["model"]


def flags_of(folders: Sequence[str | pathlib.Path]) -> dict[str, list[Flags]]:
    """seed folder -> the Flags of its repeats, in their order. folders: of test stages, one for each seed."""
    by_seed = {}
    for folder in map(pathlib.Path, folders):
        paths = sorted(folder.glob("flags-*.h5"), key=lambda path: int(path.stem.split("-")[1]))
        if paths:
            by_seed[folder.parent.name] = [Flags.load(path) for path in paths]
    return by_seed


def _as_json(compared):
    """reference -> measure -> the entries of each Difference of one method."""
    entries = {}
    for each in compared:
        entry = {"value": each.value, "interval": [each.low, each.high], "n": each.n}
        entry |= {"gained": each.gained, "lost": each.lost, "runs": list(each.runs), "p": each.p, "why": each.why}
        entries.setdefault(each.reference, {})[each.measure] = entry
    return entries


def pool(rows: Sequence[Mapping], **details: Callable) -> result_row.Row:
    """One row for several seeds, as reporting.row.pool; differences that rows have already are pooled too.

    details: as in reporting.row.pool, beside the differences
    """
    together = functools.partial(_pooled, seeds=[len(row["seeds"]) for row in rows])
    return result_row.pool(rows, details={"differences": together, **details})


def _pooled(attached, seeds):
    """The entries of several rows: means over all seeds, as `attach` makes them of all flags at once.

    The ends of an interval lie apart as those of a mean of independent differences.
    """
    weights, pooled = numpy.array(seeds) / sum(seeds), {}
    for reference, measure in ((name, measure) for name in attached[0] for measure in attached[0][name]):
        entries = [row.get(reference, {}).get(measure) for row in attached]
        if any(entry is None for entry in entries):
            continue
        intervals = [difference_interval(entry) for entry in entries]
        value = float(weights @ [each.value for each in intervals])
        below, above = (
            float(numpy.linalg.norm(weights * [getattr(each, end) - each.value for each in intervals]))
            for end in ("low", "high")
        )
        ends = [round(value - below, 2), round(value + above, 2)]
        entry = {"value": round(value, 2), "interval": ends, "n": sum(each["n"] for each in entries)}
        if all("gained" in each for each in entries):
            entry |= {name: sum(each[name] for each in entries) for name in ("gained", "lost")}
        if "runs" in entries[0]:
            runs = [run for each in entries for run in each["runs"]]
            test_of_runs = statistics.signed_rank(runs, numpy.zeros(len(runs)))
            entry |= {"runs": runs, "p": test_of_runs.p, "why": test_of_runs.why}
        pooled.setdefault(reference, {})[measure] = entry
    return pooled


def difference_tables(rows: Sequence[Mapping]) -> list[Table]:
    """Two tables for each data set and model: points with intervals (-differences), and run by run (-runs)."""
    result = []
    for (study, dataset, model), methods in tables.cells(rows).items():
        lines = [(row, name, row.get("differences", {}).get(name)) for row in methods for name in REFERENCES]
        lines = [line for line in lines if line[2] is not None]
        name = f"{study}-{cell_name(dataset, model)}"
        measures = _columns(methods, [measured for _, _, measured in lines])
        shared_notes = notes.numbers(methods, [])
        if any(measure.startswith("white-box/") for measure in measures):
            shared_notes += [*marks.margins(methods), *marks.saturation(methods)]
        for what, title, cell, own_notes in (
            (
                "differences",
                "in points",
                _interval,
                (POINTS, _detectable([measured for _, _, measured in lines], measures)),
            ),
            ("runs", "run by run", _runs, (RUNS,)),
        ):
            if measures:
                title = f"{dataset}, {model}: methods minus controls, {title}"
                result.append(
                    _table(f"{name}-{what}", title, methods, lines, measures, cell, (*own_notes, *shared_notes))
                )
    return result


def _columns(rows, measured):
    """measure -> heading: clean, Empirical Robustness, white box (of several attacks only the worst case)."""
    names = {"clean": "clean"}
    names |= {f"er/{attack}": attack for attack in order.attacks(rows)} | {"er/worst": "worst case"}
    balls = order.attacks(rows, "white-box")
    worst = [ball for ball in balls if ball.startswith("worst@")]
    names |= {f"white-box/{ball}": f"white box {ball}" for ball in worst or balls}
    return {measure: name for measure, name in names.items() if any(measure in each for each in measured)}


def _detectable(measured, measures):
    """The sentence on the smallest difference that would have shown, for each measure."""
    phrases = []
    for measure, heading in measures.items():
        sizes = [statistics.detectable(difference_interval(each[measure])) for each in measured if measure in each]
        phrases.append(f"{heading} {numpy.median(sizes):.1f} ({max(sizes):.1f})")
    return DETECTABLE.format("; ".join(phrases))


def _table(name, title, methods, lines, measures, cell, sentences):
    raised = {row["method"]: marks.raised(row) for row in methods}
    rows = []
    for row, reference, measured in lines:
        text = f"{row['method']} vs. {reference}"
        names = tuple(dict.fromkeys([*marks.raised(row), *raised.get(reference, ())]))
        rows.append((Label(text, names) if names else text, *(cell(measured.get(measure)) for measure in measures)))
    return Table(name, title, ("method vs. control", *measures.values()), tuple(rows), sentences)


def _interval(measured):
    if measured is None:
        return Cell(None)
    ends = difference_interval(measured)
    return Cell(measured["value"], low=ends.low, high=ends.high)


def _runs(measured):
    if measured is None:
        return "-"
    if measured["p"] is None:
        return ", ".join(signed(value, 1) for value in measured["runs"])
    return f"p = {measured['p']:.2g} (n = {len(measured['runs'])})"
