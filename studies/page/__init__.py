"""A static page of all rows: one HTML file, readable without a server and without a network.

It opens with the verdict on every claim in every cell. Its table is DataTables, as itables packs it: a line a measure
of each row, with the published value beside it. Below it are pictures: the studies' own figures, and examples of
adversarial images.
"""

import base64
import html
import io
import pathlib
import string

import itables
import itables.javascript
import pandas

from data import files
from reporting import figures, marks, text
from reporting import row as result_row

TEMPLATE = pathlib.Path(__file__).parent / "page.html"
PANES = ("study", "data set", "model", "method", "measure")
NUMBERS = ("value", "sd", "published", "n")
SHOWN = (*PANES, *NUMBERS, "seeds", "checks raised")
HIDDEN = ("title", "95 % interval", "what the checks saw", "data verified", "device", "commit", "commands")
DPI = 100


def lines(rows):
    """One tuple of text a measure of a row, in the order of SHOWN and HIDDEN."""
    found = []
    for row in rows:
        checks = row.get("checks") or []
        raised = f"{marks.DAGGER} {' '.join(marks.raised(row))}" if marks.raised(row) else ""
        facts = (result_row.raised(checks), "yes" if row["verified"] else "no")
        made_by = (*(row.get("commands") or {}).values(), row["command"])
        origin = (row["device"], row["commit"] or "", " && ".join(dict.fromkeys(made_by)))
        for name, one in row["measures"].items():
            measured = one["value"], one.get("spread"), one.get("published"), one["n"]
            between = " to ".join(map(_number, one.get("interval") or ()))
            cells = (
                *(row["study"], row["dataset"], row["model"], row["method"], name, *map(_number, measured)),
                *(" ".join(map(str, row["seeds"])), raised, row["title"], between, *facts, *origin),
            )
            found.append(tuple(map(text.shown, cells)))
    return found


def _number(value):
    """A number as text; "" for None and NaN."""
    return "" if value is None or value != value else str(value)


def table(rows):
    """The table as HTML with its script. A pane filters by each of PANES; HIDDEN columns are shown by a button; the
    browser keeps search, panes, order and columns from visit to visit."""
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


def png(figure):
    """A matplotlib figure as the bytes of a PNG."""
    made = io.BytesIO()
    figures.draw(figure, made, dpi=DPI)
    return made.getvalue()


COLOURS = {"holds": "#cfe8d5", "does not hold": "#f6d5cd", "undecided": "#f4f0d8"}  # of the cells of a matrix


def matrix(table):
    """A reporting.tables.Table as plain HTML, the cells of a verdict coloured."""
    cells = ["".join(f'<th scope="col">{_text(column)}</th>' for column in table.columns)]
    for line in table.rows:
        filled = (f'<td style="background:{COLOURS.get(str(cell), "none")}">{_text(cell)}</td>' for cell in line)
        cells.append("".join(filled))
    lines = "".join(f"<tr>{line}</tr>" for line in cells)
    return f'<table class="verdicts"><caption>{_text(table.title)}</caption>{lines}</table>'


def _text(value):
    return html.escape(text.shown(value))


def write(rows, path, pictures=(), verdicts=()):
    """Write the page of the rows to `path`. pictures: (caption, bytes of a PNG) of each, below the table; verdicts:
    the Tables that the page opens with (studies/verdicts.py)."""
    shown = []
    for caption, content in pictures:
        name = html.escape(text.shown(caption))
        image = f'<img alt="{name}" src="data:image/png;base64,{base64.b64encode(content).decode()}">'
        shown.append(f"<figure>{image}<figcaption>{name}</figcaption></figure>")
    made = string.Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        style=TEMPLATE.with_suffix(".css").read_text(encoding="utf-8"),
        datatables=itables.javascript.generate_init_offline_itables_html(itables.options.dt_bundle),
        count=f"{len(rows)} rows",
        verdicts="\n".join(map(matrix, verdicts)),
        table=table(rows),
        pictures="\n".join(shown),
    )
    files.write_text(path, made)
    return path
