"""Text of rows, folders and command lines as it stands in a document: one line, and never a part of its markup."""

import re

# What begins a link, its definition, or an entity, where Markdown would not show the characters themselves.
MARKUP = re.compile(r"\](?=[(\[]|:\s*\S+(\s+[\"'(].*)?$)|&(?=#?\w+;)")


def shown(value):
    """A value as one line: white space joined, and a character that cannot be printed by its number, as in U+202E."""
    line = " ".join(str(value).split())
    return "".join(one if one.isprintable() else f"U+{ord(one):04X}" for one in line)


def markdown(value):
    """A value as text of Markdown, also in the cell of a table."""
    line = shown(value).replace("\\", "\\\\")
    line = MARKUP.sub(lambda found: "\\]" if found[0] == "]" else "&amp;", line)
    return line.replace("|", "\\|").replace("<", "&lt;").replace("$", "\\$")


def code(value):
    """A value as code of Markdown, in the cell of a table."""
    line = shown(value).replace("|", "\\|")
    fence = "`" * (1 + max(map(len, re.findall("`+", line)), default=0))
    return f"{fence}{line}{fence}" if len(fence) == 1 else f"{fence} {line} {fence}"
