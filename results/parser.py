"""The argument parser of every script: errors in one sentence, every default in the help. It loads no library."""

import argparse


class Help(argparse.ArgumentDefaultsHelpFormatter):
    """Every default in the help, but for those that the help tells itself and where there is none."""

    def _get_help_string(self, action):
        told = action.default is None or "(default" in (action.help or "")
        return action.help if told else super()._get_help_string(action)


class Parser(argparse.ArgumentParser):
    """argparse, with errors in one sentence and every default in the help."""

    def __init__(self, **settings):
        super().__init__(formatter_class=Help, allow_abbrev=False, **settings)

    def error(self, message):
        self.exit(2, f"{self.prog}: {' '.join(message.split())} (--help lists the options)\n")

    def parse_known_args(self, args=None, namespace=None):
        """As argparse's, but that ``--option=--`` is refused, which it reads as a list without a value."""
        made, rest = super().parse_known_args(args, namespace)
        for action in self._actions:
            if action.nargs in (None, "+") and getattr(made, action.dest, None) == []:
                self.error(f"argument {'/'.join(action.option_strings)}: '--' given, expected one argument")
        return made, rest
