"""The charts of the page, each a dictionary {"title", "data", "layout"} as Plotly draws it."""

import numpy

from reporting import marks, published
from studies.classwise import rows as class_rows
from studies.robust_training import tables

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#999999", "#B8860B")


def charts(rows):
    """Every chart that the rows allow, study after study."""
    for study, draw in STUDIES.items():
        own = [row for row in rows if row["study"] == study]
        for dataset, model in dict.fromkeys((row["dataset"], row["model"]) for row in own):
            cell = [row for row in own if (row["dataset"], row["model"]) == (dataset, model)]
            explained = " († and hollow: checks raised)" if any(map(marks.raised, cell)) else ""
            for title, data, layout in draw(cell):
                yield {"title": f"{dataset}, {model}: {title}{explained}", "data": data, "layout": layout}


def _dare(rows):
    attacks = list(dict.fromkeys(name for row in rows for name in row["measures"] if name.startswith("er/")))
    if attacks:
        methods = [marks.name(row) for row in rows]
        values = [[_value(row, name) for name in attacks] for row in rows]
        beside = [
            [f"published {row['measures'].get(name, {}).get('published') or '-'}" for name in attacks] for row in rows
        ]
        yield "Empirical Robustness, %", [_heat([name[3:] for name in attacks], methods, values, beside)], _tall(rows)
    balls = [name for row in rows for name in row["measures"] if name.startswith("white-box/")]
    if attacks and balls:
        worst = next((name for name in balls if "worst@" in name), balls[0])
        points = [
            (row, float(numpy.mean([_value(row, name) for name in attacks])), _value(row, worst))
            for row in rows
            if worst in row["measures"] and all(name in row["measures"] for name in attacks)
        ]
        data = [
            {
                "type": "scatter",
                "mode": "markers+text",
                "name": name,
                "x": [x for _, x, _ in some],
                "y": [y for _, _, y in some],
                "text": [marks.name(row) for row, _, _ in some],
                "textposition": "top center",
                "textfont": {"size": 9},
                "marker": {"color": COLOURS[0], "size": 8, "symbol": _symbol(some[0][0])},
            }
            for name, some in (
                ("checks passed", [one for one in points if not marks.raised(one[0])]),
                (f"{marks.DAGGER} checks raised, may be too kind", [one for one in points if marks.raised(one[0])]),
            )
            if some
        ]
        weak = next(
            (f" (worst of {marks.weak(row)}; no margin-based attack)" for row, _, _ in points if marks.weak(row)), ""
        )
        axes = _axes("mean Empirical Robustness, %", f"{worst}, %{weak if 'worst@' in worst else ''}")
        yield "transfer against white box", data, axes


def _robust_training(rows):
    data = []
    for place, row in enumerate(sorted(rows, key=lambda row: -(tables.worst(row)["value"] or 0))):
        for seed, one in enumerate(row.get("trajectories", [])):
            data.append(
                {
                    "type": "scatter",
                    "mode": "lines+markers",
                    "x": one["bp_epochs"],
                    "y": [round(100 * value, 2) for value in one["probe_robust"]],
                    "name": marks.name(row),
                    "legendgroup": row["method"],
                    "showlegend": seed == 0,
                    "marker": {"size": 4, "symbol": _symbol(row)},
                    "line": {"color": COLOURS[place % len(COLOURS)], "dash": ("solid", "dash", "dot")[place // 8 % 3]},
                }
            )
    titles = "BP-epochs", "robust accuracy on held-out images, %"
    if data:
        yield "robust accuracy against BP-epochs", data, _axes(*titles) | {"height": 560}


def _classwise(rows):
    whole = [row for row in rows if row["role"] != "retrained"]
    if whole:
        shares = [class_rows.divided(row["measures"][class_rows.worst(row)]).share for row in whole]
        values = [[round(100 * float(one), 1) for one in share] for share in shares]
        names = [marks.name(row) for row in whole]
        yield "robust accuracy by class, %", [_heat(whole[0]["classes"], names, values)], _tall(whole)


def _guided(rows):
    for name in sorted({row["configuration"] for row in rows}):
        data = []
        for place, row in enumerate(row for row in rows if row["configuration"] == name):
            line = {"color": COLOURS[place % len(COLOURS)]}
            shared = {"type": "scatter", "name": row["metric"], "legendgroup": row["metric"]}
            shared |= {"marker": {"symbol": _symbol(row)}}
            for seed, curve in enumerate(row["curves"]):
                data.append(
                    {
                        **shared,
                        "mode": "lines+markers",
                        "x": [one["inputs"] for one in curve],
                        "y": [round(100 * one["both"]["accuracy"], 2) for one in curve],
                        "line": line,
                        "showlegend": seed == 0,
                    }
                )
            theirs = published.guided(row["dataset"], name, row["metric"])
            if theirs:
                counts, values = zip(*theirs, strict=True)
                label = {"name": f"{row['metric']}, published", "showlegend": False}
                data.append(
                    {**shared, **label, "mode": "lines", "x": counts, "y": values, "line": line | {"dash": "dot"}}
                )
        titles = "inputs retrained on", "accuracy on clean and adversarial test inputs, %"
        yield f"guided retraining, {name}; dotted: published", data, _axes(*titles)


def _symbol(row):
    """Of a point: hollow where a check of its row was raised."""
    return "circle-open" if marks.raised(row) else "circle"


def _axes(x, y):
    return {"xaxis": {"title": {"text": x}}, "yaxis": {"title": {"text": y}}}


def _tall(rows):
    return {"height": 160 + 24 * len(rows), "yaxis": {"autorange": "reversed", "automargin": True}}


def _heat(x, y, values, text=None):
    return {
        "type": "heatmap",
        "x": x,
        "y": y,
        "z": values,
        "zmin": 0,
        "zmax": 100,
        "colorscale": "Cividis",
        "texttemplate": "%{z:.0f}",
        "customdata": text,
        "hovertemplate": "%{y}, %{x}: %{z:.1f} %" + (" (%{customdata})" if text else "") + "<extra></extra>",
    }


def _value(row, name):
    return row["measures"].get(name, {}).get("value")


STUDIES = {"dare": _dare, "robust_training": _robust_training, "classwise": _classwise, "guided_retraining": _guided}
