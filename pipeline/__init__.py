"""How a stage runs: its arguments, run directory, provenance, progress, and jobs on a cluster. It knows no study."""

from pipeline import signals

signals.install()  # before anything else loads, so that Ctrl-C meanwhile is one line too
