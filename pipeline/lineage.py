"""What made a row: the stage that writes it and all stages that this was made from, whatever their study."""

from pipeline import provenance, records, run_directory


def of(stage):
    """The provenance of a row that `stage` (run_directory.Stage), not yet finished, writes: a dictionary for JSON.

    command, commit, versions, device, cores, kernels, floatx, image_data_format: of the stage itself (its last
    process). Of every stage by its name (pipeline/records.py), itself included but in `commands`: commands; commits;
    devices; wall_s, seconds. dirty: whether any was made from uncommitted code (None: not known). continued, of each
    stage that was continued by other code, or on other kernels, cores or device, than it was begun with: fact -> the
    values in order, or None where an earlier version did not record them.
    """
    before, own = above(stage), run_directory.so_far(stage)
    every = {**before, stage.folder.name: own}
    return {
        **{name: own[name] for name in ("command", *provenance.WATCHED)},
        "commands": {name: provenance.literal(made["command"]) for name, made in before.items()},
        "commits": {name: made.get("commit") for name, made in every.items()},
        "dirty": provenance.any_dirty([made.get("dirty") for made in every.values()]),
        "devices": {name: made.get("device") for name, made in every.items()},
        "continued": {name: made.get("continued") for name, made in every.items() if _continued(made)},
        "wall_s": {name: made.get("wall_s") for name, made in every.items()},
    }


def above(stage):
    """name -> run.json of every stage that `stage` (run_directory.Stage) is made from, the earliest first."""
    found = records.ancestors(stage.folder, stage.identity["inputs"])
    return {records.label(stage.folder, path): made for path, made in found.items()}


def _continued(made):
    """Whether a stage was continued under something else; of an earlier version's record, whether at all."""
    return bool(made.get("continued")) or (bool(made.get("resumed")) and "processes" not in made)
