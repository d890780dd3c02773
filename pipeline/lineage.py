"""The provenance of a result row: the stage that writes it, and all stages that it was made from, in any study."""

from pipeline import provenance, records, run_directory


def of(stage: run_directory.Stage) -> dict:
    """The provenance of a row that an unfinished stage writes, for JSON.

    command, commit, versions, device, cores, kernels, floatx, image_data_format: of the stage itself (its last
        process).
    commands, commits, devices, wall_s (seconds): stage name (pipeline/records.py) -> value, of all stages; `commands`
        without the stage itself.
    dirty: whether any stage was made from uncommitted code (None: not known).
    continued: name -> {fact: its values in order} of each stage that was continued with other code, kernels, cores or
        device than it was begun with; None for a stage of an earlier version, which did not record them.
    """
    before, own = above(stage), run_directory.so_far(stage)
    every = {**before, stage.folder.name: own}
    return {
        **{name: own[name] for name in ("command", *provenance.WATCHED)},
        "commands": {name: provenance.literal(record["command"]) for name, record in before.items()},
        "commits": {name: record.get("commit") for name, record in every.items()},
        "dirty": provenance.any_dirty([record.get("dirty") for record in every.values()]),
        "devices": {name: record.get("device") for name, record in every.items()},
        "continued": {name: record.get("continued") for name, record in every.items() if _continued(record)},
        "wall_s": {name: record.get("wall_s") for name, record in every.items()},
    }


def above(stage: run_directory.Stage) -> dict:
    """name -> run.json of every stage that a stage is made from, the earliest first."""
    ancestors = records.ancestors(stage.folder, stage.identity["inputs"])
    return {records.label(stage.folder, path): record for path, record in ancestors.items()}


def _continued(record):
    """Whether a stage was continued under other conditions; for a record of an earlier version, whether at all."""
    return bool(record.get("continued")) or (bool(record.get("resumed")) and "processes" not in record)
