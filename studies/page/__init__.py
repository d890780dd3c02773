"""A static page of all rows: one HTML file, readable without a server and without a network.

The table is DataTables (as itables packs it), the charts are Plotly's; both lie in the file. Every row of every study
is one line a measure, with the published value beside it and what made it a click away.
"""

import base64
import html
import importlib.resources
import json
import pathlib

import plotly.offline

from data import files
from reporting import marks
from reporting import row as result_row
from studies.page import charts

FOLDER = pathlib.Path(__file__).parent
COLUMNS = (
    "study", "data set", "model", "method", "measure", "value", "sd", "published", "n", "seeds", "checks raised",
)  # fmt: skip


def lines(rows):
    """One list a measure of a row, in the order of COLUMNS, then what a click shows: a dictionary."""
    found = []
    for row in rows:
        facts = {
            "title": row.get("title"), "interval": None, "device": row["device"], "commit": row["commit"],
            "command": row["command"], "commands": row.get("commands"), "verified": row.get("verified"),
            "checks raised": result_row.raised(row.get("checks", [])) or None,
        }  # fmt: skip
        for name, measure in row["measures"].items():
            made = [row["study"], row["dataset"], row["model"], row["method"], name, measure["value"]]
            made += [measure.get("spread"), measure.get("published"), measure["n"], _seeds(row)]
            made.append(" ".join(marks.raised(row)))
            found.append([*made, {**facts, "interval": measure.get("interval")}])
    return found


def _seeds(row):
    return " ".join(map(str, row.get("seeds", [])))


def write(rows, path, images=()):
    """Write the page of the rows to `path`. images: (title, PNG file) below the charts, such as examples grids."""
    shown = []
    for title, file in images:
        name, content = html.escape(title), _encoded(pathlib.Path(file).read_bytes())
        picture = f'<img alt="{name}" src="data:image/png;base64,{content}">'
        shown.append(f"<figure>{picture}<figcaption>{name}</figcaption></figure>")
    tables = importlib.resources.files("itables") / "html"
    content = {
        "STYLE": (FOLDER / "page.css").read_text(encoding="utf-8"),
        "TABLE_STYLE": (tables / "dt_bundle.css").read_text(encoding="utf-8"),
        "SCRIPT": (FOLDER / "page.js").read_text(encoding="utf-8"),
        "TABLE_SCRIPT": _encoded((tables / "dt_bundle.js").read_bytes()),
        "PLOTLY": plotly.offline.get_plotlyjs(),
        "COLUMNS": _json(COLUMNS),
        "LINES": _json(lines(rows)),
        "CHARTS": _json(list(charts.charts(rows))),
        "IMAGES": "\n".join(shown),
        "COUNT": f"{len(rows)} rows",
    }
    text = (FOLDER / "page.html").read_text(encoding="utf-8")
    parts = text.split("@@")  # content is never searched for further marks
    made = "".join(content[part] if place % 2 else part for place, part in enumerate(parts))
    files.write_text(path, made)
    return path


def _encoded(content):
    return base64.b64encode(content).decode()


def _json(value):
    """JSON that may stand inside a script element."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace("</", "<\\/")
