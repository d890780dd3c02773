"""The argument parser of every script, and the types of its arguments. It imports the standard library only.

Errors are one sentence, and the help shows every default.
"""

import argparse
import difflib
import math
import os
from collections.abc import Callable, Iterable, Sequence

NOT_GIVEN = object()


class Help(argparse.ArgumentDefaultsHelpFormatter):
    """Adds every default to the help, unless there is none or the help text already has it."""

    def _get_help_string(self, action):
        complete = action.default is None or "(default" in (action.help or "")
        return action.help if complete else super()._get_help_string(action)


class Parser(argparse.ArgumentParser):
    """argparse with errors in one sentence, every default in the help, and an error for options without effect."""

    def __init__(self, **settings):
        super().__init__(formatter_class=Help, allow_abbrev=False, **settings)
        self.conditions = []

    def needs(self, options: Sequence[str], has_effect: Callable, words: str):
        """Make each of `options` an error on command lines where it has no effect.

        has_effect: parsed arguments -> whether the options have an effect.
        words: what the options need, for the error.
        """
        self.conditions.append((options, has_effect, words))

    def error(self, message):
        self.exit(2, f"{self.prog}: {' '.join(message.split())} (--help lists the options)\n")

    def parse_known_args(self, args=None, namespace=None):
        """As argparse's, with an error for options without effect, and for ``--option=--``, which argparse reads as an
        empty list."""
        parsed, rest = super().parse_known_args(args, namespace)
        for action in self._actions:
            if action.nargs in (None, "+") and getattr(parsed, action.dest, None) == []:
                self.error(f"argument {'/'.join(action.option_strings)}: '--' given, expected one argument")
        self._refuse_without_effect(args, parsed)
        return parsed, rest

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

    return parse


def path(text: str) -> str:
    """An argument's type: the path of a file or folder, in which ~ is expanded to a home folder."""
    expanded = os.path.expanduser(text)
    if not expanded or not expanded.isprintable():
        raise argparse.ArgumentTypeError(f"{text!r} given, expected a path without control characters")
    if expanded.startswith("~"):
        raise argparse.ArgumentTypeError(f"{text!r} given, but nobody's home folder is called so (./~ is a folder)")
    return expanded


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

    return parse
