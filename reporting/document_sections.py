"""Generated sections of a document: only the text between two markers is replaced.

<!-- generated: dare-digits-alexnet-er -->
...
<!-- end generated -->
"""

import pathlib
import re

from data import files

BEGIN = re.compile(r"^<!-- generated: (\S+) -->$", re.MULTILINE)
END = re.compile(r"^<!-- end generated -->$", re.MULTILINE)


def names(path: str | pathlib.Path) -> list[str]:
    """The names of a document's generated sections, in order. Raises ValueError for markers that do not pair up."""
    return list(_sections(path, pathlib.Path(path).read_text(encoding="utf-8")))


def embed(path: str | pathlib.Path, marker: str, text: str, check: bool = False) -> bool:
    """Replace the section `marker` of the document `path` by `text`. Returns True if the document changed.

    check: change nothing, and raise ValueError if the section differs
    Raises ValueError if the document lacks the section, has it twice, or has markers that do not pair up.
    """
    path = pathlib.Path(path)
    document = path.read_text(encoding="utf-8")
    sections = _sections(path, document)
    if marker not in sections:
        valid = ", ".join(sections) or "none"
        raise ValueError(f"{path}: no section <!-- generated: {marker} -->; there are: {valid}")
    if BEGIN.search(text) or END.search(text):
        raise ValueError(f"the text for section {marker} of {path} holds a marker itself")
    start, stop = sections[marker]
    section = "\n" + text.strip("\n") + "\n"
    if document[start:stop] == section:
        return False
    if check:
        raise ValueError(f"{path}: section {marker} differs from the measured results: generate it again")
    files.write_text(path, document[:start] + section + document[stop:])
    return True


def _sections(path, document):
    """name -> (start, stop): the characters between the markers."""
    sections, open_name, start = {}, None, None
    marks = sorted([*BEGIN.finditer(document), *END.finditer(document)], key=lambda mark: mark.start())
    for mark in marks:
        line = document.count("\n", 0, mark.start()) + 1
        begins = mark.re is BEGIN
        if begins == (open_name is not None):
            raise ValueError(f"{path}, line {line}: {mark[0]} does not pair up with the marker before it")
        if begins:
            open_name, start = mark[1], mark.end()
            if open_name in sections:
                raise ValueError(f"{path}, line {line}: a second section {open_name}")
        else:
            sections[open_name] = (start, mark.start())
            open_name = None
    if open_name is not None:
        raise ValueError(f"{path}: section {open_name} has no <!-- end generated -->")
    return sections
