"""DARE compared with its variants, baselines and controls: the main study."""
