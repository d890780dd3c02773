"""The argument parser of every script, and the types of its arguments. It loads no library.

Errors are one sentence, and the help tells every default.
"""

import argparse
import difflib
import math
import os

NOT_GIVEN = object()


class Help(argparse.ArgumentDefaultsHelpFormatter):
    """Every default in the help, but for those that the help tells itself and where there is none."""

    def _get_help_string(self, action):
        told = action.default is None or "(default" in (action.help or "")
        return action.help if told else super()._get_help_string(action)


class Parser(argparse.ArgumentParser):
    """argparse, with errors in one sentence, every default in the help, and no option that is taken without effect."""

    def __init__(self, **settings):
        super().__init__(formatter_class=Help, allow_abbrev=False, **settings)
        self.conditions = []

    def needs(self, options, has_effect, words):
        """Refuse each of `options` on a command line where it would change nothing.

        has_effect: of the parsed arguments, whether it changes anything; words: what it needs, for the error.
        """
        self.conditions.append((options, has_effect, words))

    def error(self, message):
        self.exit(2, f"{self.prog}: {' '.join(message.split())} (--help lists the options)\n")

    def parse_known_args(self, args=None, namespace=None):
        """As argparse's, but that ``--option=--`` is refused, which it reads as a list without a value, and options
        without effect are."""
        made, rest = super().parse_known_args(args, namespace)
        for action in self._actions:
            if action.nargs in (None, "+") and getattr(made, action.dest, None) == []:
                self.error(f"argument {'/'.join(action.option_strings)}: '--' given, expected one argument")
        self._refuse_without_effect(args, made)
        return made, rest

    def _refuse_without_effect(self, args, made):
        unmet = [(options, words) for options, has_effect, words in self.conditions if not has_effect(made)]
        if not unmet:
            return
        unset = argparse.Namespace(**{action.dest: NOT_GIVEN for action in self._actions})
        given, _ = super().parse_known_args(args, unset)
        actions = {option: action.dest for action in self._actions for option in action.option_strings}
        for options, words in unmet:
            for option in options:
                if getattr(given, actions[option]) is not NOT_GIVEN:
                    self.error(f"argument {option}: without effect here, it needs {words}")


def name(what, known, prefix=None):
    """An argument's type: one of the names `known`, or anything that begins with `prefix`."""
    spelled = {one.replace("_", "-"): one for one in known}

    def parse(text):
        if text in known or (prefix and text.startswith(prefix) and text != prefix):
            return text
        near = difflib.get_close_matches(text.lower().replace("_", "-"), spelled, 1)
        hint = f"did you mean {spelled[near[0]]}? " if near else ""
        raise argparse.ArgumentTypeError(
            f"unknown {what} {text!r}: {hint}valid names: {', '.join(known)}{f', {prefix}<path>' if prefix else ''}"
        )

    return parse


def path(text):
    """An argument's type: the path of a file or folder, in one line, in which ~ is a home folder."""
    found = os.path.expanduser(text)
    if not found or not found.isprintable():
        raise argparse.ArgumentTypeError(f"{text!r} given, expected a path without control characters")
    if found.startswith("~"):
        raise argparse.ArgumentTypeError(f"{text!r} given, but nobody's home folder is called so (./~ is a folder)")
    return found


def whole(least, most=None):
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


def real(*, above=-math.inf, least=-math.inf, most=math.inf):
    """An argument's type: a finite number above `above`, of at least `least` and at most `most`."""
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
