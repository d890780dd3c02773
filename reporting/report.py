"""A report: one folder with report.md and its figures, which can be moved or sent.

Reports show PNG figures; each also exists as PDF, for papers.
"""

from __future__ import annotations  # its types load no library (pipeline/late.py)

import pathlib
import re
from collections.abc import Mapping, Sequence

import matplotlib.figure

from data import files
from reporting import figures as drawing
from reporting import tables as writing
from reporting import text


def write_report(
    folder: str | pathlib.Path,
    *,
    title: str,
    tables: Sequence[writing.Table],
    figures: Sequence[tuple[str, str, matplotlib.figure.Figure]],
    facts: Mapping,
    left_out: Sequence[str] = (),
    how_to_read: str | None = None,
) -> pathlib.Path:
    """Write report.md and figure-<name>.png and .pdf into `folder`. Returns the path of report.md, written last.

    tables: list of tables.Table
    figures: list of (name, caption, Figure)
    facts: heading -> value: dataset, model, width, epochs, seeds, n, device, commit, command
    left_out: sentences on contents that are missing from the report
    how_to_read: Markdown on columns that the tables' notes do not explain
    Raises ValueError for two figures of one name.
    """
    folder = pathlib.Path(folder)
    lines = [f"# {text.markdown(title)}", "", "## What was run", "", "| | |", "|:--|:--|"]
    lines += [f"| {text.markdown(name)} | {_value(name, value)} |" for name, value in facts.items()]
    lines += ["", "## Left out", "", *(f"- {text.markdown(sentence)}" for sentence in left_out)] if left_out else []
    lines += ["", "## Tables", "", *(writing.markdown(table) for table in tables)]
    lines += ["## Figures", ""]
    written = set()
    for name, caption, figure in figures:
        file = f"figure-{re.sub('[^A-Za-z0-9.-]+', '-', name)}.png"
        if file in written:
            raise ValueError(f"two figures named {name}: their files would be the same")
        written.add(file)
        drawing.save(figure, folder / file)
        drawing.save(figure, (folder / file).with_suffix(".pdf"), kind="pdf")
        alternative = text.markdown(str(caption).replace("[", "(").replace("]", ")"))
        lines += [f"![{alternative}]({file})", "", text.markdown(caption), ""]
    lines += ["## How to read the columns", "", how_to_read] if how_to_read else []
    path = folder / "report.md"
    files.write_text(path, "\n".join(lines))
    return path


def _value(name, value):
    if value is None:
        return "unknown"
    if isinstance(value, dict):
        return text.markdown(", ".join(f"{key} {each}" for key, each in value.items()))
    if "command" in name and isinstance(value, list | tuple):
        return "<br>".join(_value(name, line) for line in value)
    if isinstance(value, list | tuple | set):
        return text.markdown(", ".join(map(str, value)))
    return text.code(value) if "command" in name else text.markdown(value)
