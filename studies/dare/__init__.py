"""DARE beside its variants, baselines and controls: the main study."""
