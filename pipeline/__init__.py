"""Run a stage: arguments, run directory, provenance, progress, and jobs on a cluster. Independent of any study."""

from pipeline import signals

signals.install()  # before anything else loads, so that Ctrl-C prints one line from the start
