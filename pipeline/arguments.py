"""The argument parser of every script, and the types of its arguments. It imports the standard library only.

Errors are one sentence, and the help shows every default.
"""

import argparse
import difflib
import itertools
import math
import os
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterable, Sequence
from typing import NoReturn

NOT_GIVEN = object()


class Help(argparse.HelpFormatter):
    """Paragraphs as they are written, every default in words, and the names of a catalogue on lines of their own."""

    def __init__(self, prog):
        super().__init__(prog, max_help_position=30, width=min(shutil.get_terminal_size().columns, 120) - 2)
        self.listed = {}  # names -> the option that they were listed below

    def _fill_text(self, text, width, indent):
        """Wrap each paragraph; lines that begin with a space (commands) stay whole."""
        parts = []
        for kind, group in itertools.groupby(text.splitlines(), lambda line: line[:1].isspace() if line else None):
            lines = [*group]
            parts += lines if kind is not False else _wrapped(" ".join(lines), width)
        return "\n".join(indent + part for part in parts)

    def _split_lines(self, text, width):
        return [part for line in text.splitlines() for part in _wrapped(line, width)]

    def _get_default_metavar_for_optional(self, action):
        return getattr(action.type, "metavar", super()._get_default_metavar_for_optional(action))

    def _metavar_formatter(self, action, default_metavar):
        """Few choices stand beside the option, many below its help."""
        many = action.metavar is None and action.choices is not None and _many(action.choices)
        return (lambda count: ("NAME",) * count) if many else super()._metavar_formatter(action, default_metavar)

    def _get_help_string(self, action):
        """The help with its default, and below it the names that there are to choose from."""
        known = getattr(action.type, "known", None) or (tuple(action.choices or ()) if _many(action.choices) else ())
        default = _in_words(action.default, known)
        help = action.help or ""
        if default is not None and "(default" not in help:
            help = f"{help} (default: {default})".lstrip()
        above = self.listed.setdefault(known, action.option_strings[-1]) if known else None
        names = f"names: those of {above}" if above not in (None, action.option_strings[-1]) else ", ".join(known)
        return f"{help}\n{names}".rstrip().replace("%", "%%")


def _many(choices):
    return choices is not None and len(",".join(choices)) > 24


def _wrapped(line, width):
    return textwrap.wrap(line, width, break_on_hyphens=False, break_long_words=False)


def _in_words(default, known):
    """A default as it would be typed; None where there is nothing to say."""
    if default is None or default is False or default == argparse.SUPPRESS:
        return None
    if isinstance(default, list | tuple):
        return "all" if len(default) > 1 and {*default} == {*known} else " ".join(map(str, default))
    return f"{default:g}" if isinstance(default, float) else str(default)


class Parser(argparse.ArgumentParser):
    """argparse, with errors in one sentence, every default in the help, and no option that is taken without effect.

    example: the options of an example, which the help ends with.
    """

    def __init__(self, example=None, **settings):
        settings.setdefault("usage", "%(prog)s [options]")
        if example is not None:
            settings["epilog"] = f"example:\n    python {sys.argv[0]} {example}".rstrip()
        super().__init__(formatter_class=Help, allow_abbrev=False, **settings)
        self.conditions, self.requirements = [], []

    def require(self, met: Callable, words: str | Callable) -> None:
        """Refuse command lines whose parsed arguments do not satisfy ``met(arguments)``.

        words: what is expected, for the error; or a function of the arguments that gives them.
        """
        self.requirements.append((met, words))

    def needs(self, options: Sequence[str], has_effect: Callable, words: str) -> None:
        """Make each of `options` an error on command lines where it has no effect.

        has_effect: parsed arguments -> whether the options have an effect.
        words: what the options need, for the error.
        """
        self.conditions.append((options, has_effect, words))

    def error(self, message: str) -> NoReturn:
        """Exit with status 2 and the message as one sentence on standard error."""
        self.exit(2, f"{self.prog}: {' '.join(message.split())} (--help lists the options)\n")

    def parse_known_args(
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """As argparse's, with an error for options without effect, and for ``--option=--``, which argparse reads as an
        empty list."""
        parsed, unknown = super().parse_known_args(args, namespace)
        for action in self._actions:
            if action.nargs in (None, "+") and getattr(parsed, action.dest, None) == []:
                self.error(f"argument {'/'.join(action.option_strings)}: '--' given, expected one argument")
        self._refuse_without_effect(args, parsed)
        for met, words in self.requirements:
            if not met(parsed):
                self.error(words(parsed) if callable(words) else words)
        return parsed, unknown

    def _refuse_without_effect(self, args, parsed):
        """Exit with an error where the command line has an option without effect."""
        unmet = [(options, words) for options, has_effect, words in self.conditions if not has_effect(parsed)]
        if not unmet:
            return
        # Parsed again without defaults: options that the command line lacks keep the value NOT_GIVEN.
        unset = argparse.Namespace(**{action.dest: NOT_GIVEN for action in self._actions})
        on_line, _ = super().parse_known_args(args, unset)
        actions = {option: action.dest for action in self._actions for option in action.option_strings}
        for options, words in unmet:
            for option in options:
                if getattr(on_line, actions[option]) is not NOT_GIVEN:
                    self.error(f"argument {option}: without effect here, it needs {words}")


def name(what: str, known: Iterable[str], prefix: str | None = None) -> Callable:
    """An argument's type: one of the names `known`, or a text that begins with `prefix`. what: for the error."""
    spelled = {option.replace("_", "-"): option for option in known}

    def parse(text):
        if text in known or (prefix and text.startswith(prefix) and text != prefix):
            return text
        near = difflib.get_close_matches(text.lower().replace("_", "-"), spelled, 1)
        hint = f"did you mean {spelled[near[0]]}? " if near else ""
        raise argparse.ArgumentTypeError(
            f"unknown {what} {text!r}: {hint}valid names: {', '.join(known)}{f', {prefix}<path>' if prefix else ''}"
        )

    parse.metavar, parse.known = "NAME", (*known, *([f"{prefix}<path>"] if prefix else []))
    return parse


def path(text: str) -> str:
    """An argument's type: the path of a file or folder, in which ~ is expanded to a home folder."""
    expanded = os.path.expanduser(text)
    if not expanded or not expanded.isprintable():
        raise argparse.ArgumentTypeError(f"{text!r} given, expected a path without control characters")
    if expanded.startswith("~"):
        raise argparse.ArgumentTypeError(f"{text!r} given, but nobody's home folder is called so (./~ is a folder)")
    return expanded


path.metavar = "PATH"


def whole(least: int, most: int | None = None) -> Callable:
    """An argument's type: a whole number from `least` to `most`."""
    expected = f"expected a whole number of at least {least}" + ("" if most is None else f" and at most {most}")

    def parse(text):
        try:
            value = int(text)
        except ValueError:
            value = None
        if value is None or value < least or (most is not None and value > most):
            raise argparse.ArgumentTypeError(f"{text!r} given, {expected}")
        return value

    parse.metavar = "N"
    return parse


def real(*, above: float = -math.inf, least: float = -math.inf, most: float = math.inf) -> Callable:
    """An argument's type: a finite number above `above`, at least `least` and at most `most`."""
    bounds = [("above", above), ("at least", least), ("at most", most)]
    expected = " and ".join(f"{word} {bound:g}" for word, bound in bounds if math.isfinite(bound))

    def parse(text):
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and value > above and least <= value <= most):
            raise argparse.ArgumentTypeError(f"{text!r} given, expected a number {expected}".rstrip())
        return value

    parse.metavar = "X"
    return parse
