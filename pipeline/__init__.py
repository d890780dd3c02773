"""How a stage runs: its arguments, run directory, provenance, progress, and jobs on a cluster. It knows no study."""
