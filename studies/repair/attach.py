"""Paired differences of the repair rows, on the same test images: from other methods, and from each one's own noise.

An attached row has them as other studies' rows do (studies/dare/differences.py), with the reference "noise" for weight
noise of its own norm:

    "differences": {"noise": {"clean": {"value": 0.2, "interval": [-0.3, 0.7], "n": 10000, ...}, ...}, "dare": {...}}
"""

from __future__ import annotations

import dataclasses

from dare.flags import GROUPS
from reporting import row as result_row
from studies.dare import differences
from studies.repair.cell import NOISE

REFERENCES = ("dare", "swa", "neurecover", "apricot-history-released", "random-neurecover", "random-arachne")


def attach(rows: list, folders: dict) -> list:
    """The rows, with "differences" added where their flags exist.

    rows: pooled (reporting.row)
    folders: (study, dataset, model, method) -> the folders of its flags-*.h5, one for each seed
    """
    flags = {key: differences.flags_of(paths) for key, paths in folders.items()}
    attached = []
    for row in rows:
        cell = row["study"], row["dataset"], row["model"]
        own = flags.get((*cell, row["method"]), {})
        beside = {name: flags.get((*cell, name), {}) for name in REFERENCES if name != row["method"]}
        if any(name.startswith(NOISE) for seeds in own.values() for each in seeds for name in each.label):
            beside["noise"] = {seed: [_of_noise(each) for each in repeats] for seed, repeats in own.items()}
        beside = {name: seeds for name, seeds in beside.items() if set(seeds) & set(own)}
        compared = differences.differences(
            {row["method"]: own, **beside}, references=tuple(beside), methods=[row["method"]]
        )
        entries = {}
        for each in compared:
            if not each.measure.startswith(NOISE) and each.measure not in ("rr-seen", "rr-confusion"):
                entry = {"value": each.value, "interval": [each.low, each.high], "n": each.n}
                entries.setdefault(each.reference, {})[each.measure] = entry
        attached.append(result_row.detailed(row, differences=entries) if entries else row)
    return attached


def _of_noise(flags):
    """The Flags of the weight noise, under the names of the method's measures."""
    groups = {
        group: {
            name.removeprefix(NOISE): part for name, part in getattr(flags, group).items() if name.startswith(NOISE)
        }
        for group in GROUPS
    }
    return dataclasses.replace(flags, **groups)
