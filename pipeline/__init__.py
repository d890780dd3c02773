"""Run a stage: arguments, run directory, provenance, progress, and jobs on a cluster. Independent of any study."""

import sys

from pipeline import late, signals

signals.install()  # before anything else loads, so that Ctrl-C prints one line from the start
if signals.is_script(sys.argv[0]):  # also in a process that a script begins
    late.install()
