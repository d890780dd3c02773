"""The argument parser of every script: errors in one sentence, every default in the help. It loads no library."""

import argparse

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
