"""The model card of a net in a release: data, recipe, accuracy, what it is for (Mitchell et al., FAT* 2019)."""

from collections.abc import Mapping

from reporting import measure_words
from reporting import row as result_row
from reporting.text import markdown

USE = (
    "To check and to compare the numbers of DARE's tables. It is no defence: under white-box attack the numbers above "
    "hold for the attacks and radii named there, and a stronger attack may leave fewer images correct."
)


def card(row: Mapping) -> str:
    """The Markdown of one method's card."""
    lines = [f"# {markdown(row['dataset'])}, {markdown(row['model'])}: {markdown(row['title'])}", ""]
    verified = "the published files" if row["verified"] else "not the published files (a reduced or unverified set)"
    recipe = ", ".join(f"{name} {value}" for name, value in row["hyperparameters"].items())
    lines += [
        f"- **Data**: {markdown(row['dataset'])}, half of the training set; {verified}.",
        f"- **Recipe**: {markdown(recipe)}; seed {', '.join(map(str, row['seeds']))}, {row['repeats']} repeats.",
        f"- **Made by**: {markdown(row['command'])}, commit {markdown(row['commit'])}, {markdown(row['device'])}.",
        f"- **Checks raised**: {markdown(result_row.raised(row['checks']) or 'none')}.",
        "",
        "| measure | value, % | images |",
        "|:--|--:|--:|",
    ]
    for name, measure in row["measures"].items():
        if measure["value"] is not None and not name.startswith("minimal/"):
            lines.append(f"| {markdown(measure_words.words(name))} | {measure['value']:.1f} | {measure['n']:,} |")
    return "\n".join([*lines, "", f"**Intended use.** {USE}", ""])
