"""A static page of all rows: one HTML file that needs neither a server nor a network.

First come the verdicts on every claim in every cell. Then comes a DataTables table (packed by itables): a line for each
measure of each row, with the published value. Below are the studies' figures and examples of adversarial images.
"""

from __future__ import annotations  # its types load no library (pipeline/late.py)

import base64
import html
import io
import pathlib
import string
from collections.abc import Mapping, Sequence

import itables
import itables.javascript
import matplotlib.figure
import pandas

from data import files
from reporting import figures, marks, text
from reporting import row as result_row
from reporting.tables import Table

TEMPLATE = pathlib.Path(__file__).parent / "page.html"
PANES = ("study", "data set", "model", "method", "measure")
NUMBERS = ("value", "sd", "published", "n")
SHOWN = (*PANES, *NUMBERS, "seeds", "checks raised")
HIDDEN = ("title", "95 % interval", "what the checks saw", "data verified", "device", "commit", "commands")
DPI = 100


def lines(rows: Sequence[Mapping]) -> list[tuple[str, ...]]:
    """A tuple of text for each measure of each row, in the order of SHOWN and HIDDEN."""
    table_lines = []
    for row in rows:
        checks = row.get("checks") or []
        raised = f"{marks.DAGGER} {' '.join(marks.raised(row))}" if marks.raised(row) else ""
        facts = (result_row.raised(checks), "yes" if row["verified"] else "no")
        origin = (row["device"], row["commit"] or "", " && ".join(result_row.commands([row])))
        for name, measure in row["measures"].items():
            numbers = measure["value"], measure.get("spread"), measure.get("published"), measure["n"]
            between = " to ".join(map(_number, measure.get("interval") or ()))
            cells = (
                *(row["study"], row["dataset"], row["model"], row["method"], name, *map(_number, numbers)),
                *(" ".join(map(str, row["seeds"])), raised, row["title"], between, *facts, *origin),
            )
            table_lines.append(tuple(map(text.shown, cells)))
    return table_lines


def _number(value):
    """A number as text; "" for None and NaN."""
    return "" if value is None or value != value else str(value)


def table(rows: Sequence[Mapping]) -> str:
    """The table as HTML with its script.

    A pane filters by each of PANES, and a button shows HIDDEN columns. The browser remembers search, panes, order and
    columns.
    """
    columns = (*SHOWN, *HIDDEN)
    places = {name: place for place, name in enumerate(columns)}
    escaped = [tuple(map(html.escape, line)) for line in lines(rows)]  # quotes too: the panes put names into attributes
    frame = pandas.DataFrame(escaped, columns=columns, dtype=object)
    with pandas.option_context("display.max_colwidth", None):  # otherwise it cuts long text
        return itables.to_html_datatable(
            frame,
            table_id="results",
            connected=False,
            allow_html=True,  # escaped above
            display_logo_when_loading=False,
            maxBytes=0,
            classes="display compact",
            style="width:100%",
            pageLength=25,
            deferRender=True,
            autoWidth=False,
            stateSave=True,
            stateDuration=0,
            text_in_header_can_be_selected=False,  # a click on it sorts
            buttons=[{"extend": "colvis", "text": "columns"}, {"extend": "csv", "text": "CSV"}],
            layout={"top1": "searchPanes", "topStart": ["pageLength", "buttons"]},
            searchPanes={"columns": [places[name] for name in PANES], "initCollapsed": True, "layout": "columns-5"},
            columnDefs=[
                {"targets": [places[name] for name in PANES], "searchPanes": {"show": True}},
                {"targets": [places[name] for name in NUMBERS], "className": "dt-body-right", "type": "num"},
                {"targets": [places[name] for name in HIDDEN], "visible": False},
            ],
        )


def png(figure: matplotlib.figure.Figure) -> bytes:
    """A matplotlib figure as the bytes of a PNG."""
    buffer = io.BytesIO()
    figures.draw(figure, buffer, dpi=DPI)
    return buffer.getvalue()


COLOURS = {"holds": "#cfe8d5", "does not hold": "#f6d5cd", "undecided": "#f4f0d8"}  # of the cells of a matrix


def matrix(table: Table) -> str:
    """A reporting.tables.Table as plain HTML, with coloured verdicts."""
    cells = ["".join(f'<th scope="col">{_text(column)}</th>' for column in table.columns)]
    for line in table.rows:
        filled = (f'<td style="background:{COLOURS.get(str(cell), "none")}">{_text(cell)}</td>' for cell in line)
        cells.append("".join(filled))
    lines = "".join(f"<tr>{line}</tr>" for line in cells)
    return f'<table class="verdicts"><caption>{_text(table.title)}</caption>{lines}</table>'


def _text(value):
    return html.escape(text.shown(value))


def write(
    rows: Sequence[Mapping],
    path: str | pathlib.Path,
    pictures: Sequence[tuple[str, bytes]] = (),
    verdicts: Sequence[Table] = (),
) -> pathlib.Path:
    """Write the page of the rows to `path`. Returns the path.

    pictures: (caption, bytes of a PNG) of each, shown below the table
    verdicts: Tables shown first (studies/verdicts.py)
    """
    figure_elements = []
    for caption, content in pictures:
        name = html.escape(text.shown(caption))
        image = f'<img alt="{name}" src="data:image/png;base64,{base64.b64encode(content).decode()}">'
        figure_elements.append(f"<figure>{image}<figcaption>{name}</figcaption></figure>")
    page = string.Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        style=TEMPLATE.with_suffix(".css").read_text(encoding="utf-8"),
        datatables=itables.javascript.generate_init_offline_itables_html(itables.options.dt_bundle),
        count=f"{len(rows)} rows",
        verdicts="\n".join(map(matrix, verdicts)),
        table=table(rows),
        pictures="\n".join(figure_elements),
    )
    files.write_text(path, page)
    return path
