"""The argument parser of every script: errors in one sentence, every default in the help. It loads no library."""

import argparse


class Parser(argparse.ArgumentParser):
    """argparse, with errors in one sentence and every default in the help."""

    def __init__(self, **settings):
        super().__init__(formatter_class=argparse.ArgumentDefaultsHelpFormatter, allow_abbrev=False, **settings)

    def error(self, message):
        self.exit(2, f"{self.prog}: {' '.join(message.split())} (--help lists the options)\n")

    def parse_known_args(self, args=None, namespace=None):
        """As argparse's, but that ``--option=--`` is refused, which it reads as a list without a value."""
        made, rest = super().parse_known_args(args, namespace)
        for action in self._actions:
            if action.nargs in (None, "+") and getattr(made, action.dest, None) == []:
                self.error(f"argument {'/'.join(action.option_strings)}: '--' given, expected one argument")
        return made, rest
