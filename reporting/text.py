"""Text of rows, folders and command lines for documents: one line that cannot act as markup."""

import re
from typing import Any

# The start of a link, of a link's definition, or of an entity, which Markdown would not show literally.
MARKUP = re.compile(r"\](?=[(\[]|:\s*\S+(\s+[\"'(].*)?$)|&(?=#?\w+;)")


def shown(value: Any) -> str:
    """A value as one line: white space joined, unprintable characters replaced by code points such as U+202E."""
    line = " ".join(str(value).split())
    return "".join(letter if letter.isprintable() else f"U+{ord(letter):04X}" for letter in line)


def markdown(value: Any) -> str:
    """A value as Markdown text, also for the cell of a table."""
    line = shown(value).replace("\\", "\\\\")
    line = MARKUP.sub(lambda match: "\\]" if match[0] == "]" else "&amp;", line)
    return line.replace("|", "\\|").replace("<", "&lt;").replace("$", "\\$")


def code(value: Any) -> str:
    """A value as Markdown code, for the cell of a table."""
    line = shown(value).replace("|", "\\|")
    fence = "`" * (1 + max(map(len, re.findall("`+", line)), default=0))
    return f"{fence}{line}{fence}" if len(fence) == 1 else f"{fence} {line} {fence}"
