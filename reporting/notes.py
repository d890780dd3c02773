"""The sentences below a table of result rows: warnings, what a cell is, who the lines are, what attacked them."""

from reporting import attack_words, marks

ROLES = {
    "original": "Source",
    "method": "Methods",
    "baseline": "Baselines",
    "control": "Controls, which are no defence but say what any change of weights scores",
}


def count(rows, measure):
    """For a heading: " (n=<number of examples>)" of a measure, or their range over the rows."""
    counts = sorted({row["measures"][measure]["n"] for row in rows if measure in row["measures"]})
    return f" (n={counts[0]})" if len(counts) == 1 else f" (n={counts[0]}-{counts[-1]})"


def numbers(rows, measures, *, without=()):
    """How to read the values of `measures`: a list of sentences, a warning for unverified data first.

    without: keys of the sentences to leave out, of unverified, raised, spread, published, intervals, attacks.
    """
    shown = [row["measures"][measure] for row in rows for measure in measures if measure in row["measures"]]
    said = {}
    unverified = [row["method"] for row in rows if row.get("verified") is False]
    if unverified:
        whose = "" if len(unverified) == len(rows) else f" ({', '.join(unverified)})"
        sentence = f"Unverified data{whose}: from files without the published digest, so compare no published number."
        said["unverified"] = [sentence]
    said["raised"] = marks.said(rows)
    if any(measure.get("spread") is not None for measure in shown):
        one = " of the tuning, all from one source model" if len(_seeds(rows)) == 1 else ""
        said["spread"] = [f"a ± b: mean and standard deviation over repeats{one}."]
    if any(measure.get("published") is not None for measure in shown):
        said["published"] = ["(in brackets): published in TOSEM 33(3) 2024, mean of nine runs, on other source models."]
    halves = [(high - low) / 2 for low, high in (measure["interval"] for measure in shown if measure.get("interval"))]
    if halves:
        said["intervals"] = [f"95 % intervals (Wilson, over images) reach at most {max(halves):.1f} points to a side."]
    used = {part for measure in measures for part in (measure.split("/", 1)[-1], measure.partition("@")[0])}
    specifications = {name: value for row in rows for name, value in row.get("attacks", {}).items() if name in used}
    said["attacks"] = [f"{name}: {attack_words.words(value)}." for name, value in specifications.items()]
    return [sentence for key, sentences in said.items() if key not in without for sentence in sentences]


def lines(rows):
    """Who the lines of a table are: titles by role, the hyper-parameters that all share, seeds and repeats."""
    first, *others = (row.get("hyperparameters", {}) for row in rows)
    common = {name: value for name, value in first.items() if all(row.get(name) == value for row in others)}
    said = []
    for role, heading in ROLES.items():
        whose = [_who(row, common) for row in rows if row["role"] == role]
        said += [f"{heading}: {'; '.join(whose)}."] if whose else []
    repeats = sorted({row["repeats"] for row in rows if "repeats" in row}, reverse=True)
    counted = [
        f"{each} of {', '.join(row['method'] for row in rows if row.get('repeats') == each)}" for each in repeats
    ]
    facts = [
        settings(common),
        f"seeds {', '.join(map(str, _seeds(rows)))}" if _seeds(rows) else "",
        f"repeats: {'; '.join(counted)}" if counted else "",
    ]
    return [*said, f"All: {'; '.join(fact for fact in facts if fact)}."] if any(facts) else said


def settings(values):
    """One line of a dictionary's plain entries: "learning rate 0.0001, steps 10"."""
    plain = {name.replace("_", " "): value for name, value in values.items() if not isinstance(value, dict)}
    return ", ".join(f"{name} {f'{value:g}' if isinstance(value, float) else value}" for name, value in plain.items())


def _who(row, common):
    """ "<method>: <title> (<its own hyper-parameters>)"."""
    own = settings({name: value for name, value in row.get("hyperparameters", {}).items() if name not in common})
    name = row["method"] if row["title"] == row["method"] else f"{row['method']}: {row['title']}"
    return f"{name} ({own})" if own else name


def _seeds(rows):
    return sorted({seed for row in rows for seed in row.get("seeds", [])})
