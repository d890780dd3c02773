"""Test a model on adversarial sets and under white-box attacks, as the original package's test.py does.

The measures and how they are computed: `adv.scoring`. The result: `dare.flags.Flags`.
"""

from __future__ import annotations  # its types load no library (pipeline/late.py)

from collections.abc import Mapping
from typing import Any

import keras

from adv import scoring
from dare.flags import Flags
from data.split import Split


def test(model: keras.Model, split: Split, sets: Mapping, *, fingerprint: str, **options: Any) -> Flags:
    """The Flags of one model: its predictions for every measure.

    fingerprint: SHA-256 of the model; model, split, sets, options and errors: as in adv.scoring.score.
    """
    return Flags(**scoring.score(model, split, sets, **options), model=fingerprint, data=split.fingerprint)
