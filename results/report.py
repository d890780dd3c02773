"""A report: one folder with report.md and its figures, which can be moved or sent as it is."""

import pathlib
import re

from data import files
from results import figures as drawing
from results import tables as writing

HOW_TO_READ = """\
- **clean**: share of the unmodified test images that are classified as their true label.
- **Empirical Robustness (ER)**, one column an attack: share of fixed adversarial images, made once by attacking the
  *original* model, that the tested model classifies as their true label. An adversarial image of minimal size lies
  just across the original's boundary, so *any* change of weights brings some of them back: ER says that a boundary
  moved, not that a model is robust.
- **Controls** measure how much of ER comes from that alone: random noise of the same size, as many plain training
  steps, an older checkpoint, an average of checkpoints. A method has shown something beyond them only where it
  exceeds its controls by more than the intervals.
- **held-out**: ER on adversarials of test images. **×1.1, ×1.5**: ER after moving each adversarial so many times as
  far from its original: what is left once a boundary's small shift no longer suffices.
- **worst case**: share of images correct under every attack at once; the note below the table says what became of those
  on which an attack failed.
- **†**: a check of the model was raised, and a note names it: its robustness may be hidden, or its numbers say nothing.
- **attack@epsilon** (white box): the attack is run anew on the very model under test, and its image may be epsilon
  away in any pixel (pixels in [0, 1]). Only these columns and the median minimal perturbation speak of robustness
  against somebody who knows the model. Even they are an upper bound: a stronger attack may find more.
- **(in brackets)**: the published value. It is of other source models, so compare the order of methods before the
  values.
"""


def write_report(folder, *, title, tables, figures, facts):
    """Write report.md and figure-<name>.png into `folder`; returns the path of report.md.

    tables: list of tables.Table; figures: list of (name, caption, Figure); facts: what was run, heading -> value,
    as dataset, model, width, epochs, seeds, n, device, commit, command. Everything is written before report.md.
    """
    folder = pathlib.Path(folder)
    lines = [f"# {_text(title)}", "", "## What was run", "", "| | |", "|:--|:--|"]
    lines += [f"| {_text(name)} | {_value(name, value)} |" for name, value in facts.items()]
    lines += ["", "## Tables", "", *(writing.markdown(table) for table in tables)]
    lines += ["## Figures", ""]
    taken = set()
    for name, caption, figure in figures:
        file = f"figure-{re.sub('[^A-Za-z0-9.-]+', '-', name)}.png"
        if file in taken:
            raise ValueError(f"two figures named {name}: their files would be the same")
        taken.add(file)
        drawing.save(figure, folder / file)
        lines += [f"![{_text(caption).replace('[', '(').replace(']', ')')}]({file})", "", _text(caption), ""]
    lines += ["## How to read the columns", "", HOW_TO_READ]
    path = folder / "report.md"
    files.write_text(path, "\n".join(lines))
    return path


def _text(value):
    return " ".join(str(value).replace("|", "\\|").replace("<", "&lt;").split())


def _value(name, value):
    if value is None:
        return "unknown"
    if isinstance(value, dict):
        return ", ".join(f"{key} {each}" for key, each in value.items())
    if isinstance(value, list | tuple | set):
        return _text(", ".join(map(str, value)))
    return f"`{' '.join(str(value).split())}`".replace("|", "\\|") if "command" in name else _text(value)
