"""The notes below a table of result rows: warnings, meaning of the cells, methods in the lines, attacks."""

from collections.abc import Mapping, Sequence

from reporting import attack_words, marks

ROLES = {
    "original": "Source",
    "method": "Methods",
    "baseline": "Baselines",
    "control": "Controls, which are no defence and show what any change of weights scores",
}


def count(rows: Sequence[Mapping], measure: str) -> str:
    """The text " (n=<number of examples>)" for the heading of a measure, or the range of n over the rows."""
    counts = sorted({row["measures"][measure]["n"] for row in rows if measure in row["measures"]})
    return f" (n={counts[0]})" if len(counts) == 1 else f" (n={counts[0]}-{counts[-1]})"


def numbers(rows: Sequence[Mapping], measures: list[str], *, without: tuple = ()) -> list[str]:
    """Sentences on how to read the values of `measures`, the warning on unverified data first.

    without: keys of sentences to leave out: unverified, raised, spread, published, intervals, attacks
    """
    printed = [row["measures"][measure] for row in rows for measure in measures if measure in row["measures"]]
    by_key = {}
    unverified = [row["method"] for row in rows if row.get("verified") is False]
    if unverified:
        affected = "" if len(unverified) == len(rows) else f" ({', '.join(unverified)})"
        sentence = (
            f"Unverified data{affected}: the files lack the published digest; do not compare with published numbers."
        )
        by_key["unverified"] = [sentence]
    by_key["raised"] = marks.raised_note(rows)
    if any(measure.get("spread") is not None for measure in printed):
        source = " of the tuning, all from one source model" if len(_seeds(rows)) == 1 else ""
        by_key["spread"] = [f"a ± b: mean and standard deviation over repeats{source}."]
    if any(measure.get("published") is not None for measure in printed):
        by_key["published"] = [
            "(in brackets): published in TOSEM 33(3) 2024, mean of nine runs, on other source models."
        ]
    halves = [(high - low) / 2 for low, high in (measure["interval"] for measure in printed if measure.get("interval"))]
    if halves:
        by_key["intervals"] = [f"95 % intervals (Wilson, over images) are at most ±{max(halves):.1f} points."]
    used = {part for measure in measures for part in (measure.split("/", 1)[-1], measure.partition("@")[0])}
    specifications = {name: value for row in rows for name, value in row.get("attacks", {}).items() if name in used}
    by_key["attacks"] = [f"{name}: {attack_words.words(value)}." for name, value in specifications.items()]
    return [sentence for key, sentences in by_key.items() if key not in without for sentence in sentences]


def lines(rows: Sequence[Mapping]) -> list[str]:
    """Sentences on the lines of a table: titles by role, shared hyper-parameters, seeds and repeats."""
    first, *further = (row.get("hyperparameters", {}) for row in rows)
    common = {name: value for name, value in first.items() if all(row.get(name) == value for row in further)}
    titles = []
    for role, heading in ROLES.items():
        described = [_who(row, common) for row in rows if row["role"] == role]
        titles += [f"{heading}: {'; '.join(described)}."] if described else []
    repeats = sorted({row["repeats"] for row in rows if "repeats" in row}, reverse=True)
    counted = [
        f"{each} of {', '.join(row['method'] for row in rows if row.get('repeats') == each)}" for each in repeats
    ]
    facts = [
        settings(common),
        f"seeds {', '.join(map(str, _seeds(rows)))}" if _seeds(rows) else "",
        f"repeats: {'; '.join(counted)}" if counted else "",
    ]
    return [*titles, f"All: {'; '.join(fact for fact in facts if fact)}."] if any(facts) else titles


def settings(values: dict) -> str:
    """The plain entries of a dictionary in one line: "learning rate 0.0001, steps 10"."""
    plain = {name.replace("_", " "): value for name, value in values.items() if not isinstance(value, dict)}
    return ", ".join(f"{name} {f'{value:g}' if isinstance(value, float) else value}" for name, value in plain.items())


def _who(row, common):
    """ "<method>: <title> (<its own hyper-parameters>)"."""
    own = settings({name: value for name, value in row.get("hyperparameters", {}).items() if name not in common})
    name = row["method"] if row["title"] == row["method"] else f"{row['method']}: {row['title']}"
    return f"{name} ({own})" if own else name


def _seeds(rows):
    return sorted({seed for row in rows for seed in row.get("seeds", [])})
