"""docs/deviations.md: every choice that the code tags as published [P], inferred [I] or decided [D], with its file.

A tag stands in a docstring, in a numbered item ("2. [D] ...") or at the end of a sentence, or in a comment.
"""

import ast
import io
import itertools
import pathlib
import re
import textwrap
import tokenize

PATH = pathlib.Path("docs") / "deviations.md"
ROOMS = {
    "data": "Data",
    "models": "Models",
    "train": "Training",
    "dare": "Slicing, mining, tuning",
    "adv": "Attacks and scoring",
    "studies": "Studies",
    "scripts": "Scripts",
}
TAG = re.compile(r"\s*\[([PID](?:/[PID])?)\]")
ITEM = re.compile(r"^(?:\d+\.|-) ", re.MULTILINE)
SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z`]|[a-z_][\w*, ]{0,50}: )")  # before a capital, or a parameter's line
INTRO = """\
# Deviations

Made by `python scripts/publish.py` from the code's own docstrings and comments.

- **[P]**: as published in the paper or its released code. Listed if the two differ, or if it is unexpected.
- **[I]**: inferred. The paper does not state it, but leaves little choice.
- **[D]**: decided here. Nothing public states it, or the released code is evidently a mistake.

Sources of every method: [sources.md](sources.md).
"""


def document(root: pathlib.Path) -> str:
    """The text of docs/deviations.md for the code in the folder `root`."""
    lines = [INTRO]
    for room, title in ROOMS.items():
        tagged_files = [(path.relative_to(root), tagged(path)) for path in sorted((root / room).rglob("*.py"))]
        if any(items for _, items in tagged_files):
            lines += [f"## {title}", ""]
        for path, items in tagged_files:
            if items:
                lines += [f"`{path}`", "", *(_item(*item) for item in items), ""]
    return "\n".join(lines).rstrip("\n") + "\n"


def _item(tag, sentence):
    return textwrap.fill(f"- [{tag}] {sentence}", 140, subsequent_indent="  ", break_on_hyphens=False)


def tagged(path: str | pathlib.Path) -> list[tuple[str, str]]:
    """(tag, sentence) of every tag in a file, in the order of its lines."""
    source = pathlib.Path(path).read_text(encoding="utf-8")
    items = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node):
            line = getattr(node, "lineno", 0)
            items += [(line, place, *item) for place, item in enumerate(of_text(ast.get_docstring(node)))]
    items += [(line, 0, *item) for line, item in _comments(source)]
    return [item for *_, tag, sentence in sorted(items) for item in [(tag, sentence)]]


def of_text(text: str) -> list[tuple[str, str]]:
    """(tag, sentence) of every tagged item or sentence of a docstring."""
    items = []
    for paragraph in re.split(r"\n\s*\n", text):
        for item in _items(paragraph):
            whole = " ".join(item.split())
            numbered = re.match(r"(?:\d+\.|-) \[([PID](?:/[PID])?)\] (.*)", whole)
            if numbered and not TAG.search(numbered[2]):
                items.append((numbered[1], numbered[2]))
                continue
            sentences = SENTENCE.split(re.sub(r"^(?:\d+\.|-) ", "", whole))
            items += [
                (TAG.search(sentence)[1], TAG.sub("", sentence).strip())
                for sentence in sentences
                if TAG.search(sentence)
            ]
    return items


def _items(paragraph):
    """A paragraph's list items, each with its continuation lines; the whole paragraph if it is no list."""
    starts = [match.start() for match in ITEM.finditer(paragraph)]
    bounds = [0, *starts, len(paragraph)]
    return [paragraph[start:end] for start, end in itertools.pairwise(bounds)]


def _comments(source):
    """(line, (tag, sentence)) of the tagged comments; a comment beside code is given with the code."""
    comments = {}
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            comments[token.start[0]] = (token.string.lstrip("# "), token.line[: token.start[1]].strip())
    for line, (comment, code) in comments.items():
        if TAG.search(f" {comment}"):
            before = line
            while not code and comments.get(before - 1, (None, "code"))[1] == "":  # the comment's first line
                before -= 1
            words = " ".join(comments[each][0] for each in range(before, line + 1))
            sentence = next(part for part in SENTENCE.split(words) if TAG.search(f" {part}"))
            tag = TAG.search(f" {sentence}")[1]
            sentence = TAG.sub("", f" {sentence}").strip(" ;,")
            yield line, (tag, f"`{code}`: {sentence}" if code else sentence)
