"""Test a model, keep its flags with its checks, and read them back: what the test stages of the studies share."""

import dataclasses

import models
from adv import checks
from dare import test
from dare.flags import Flags
from pipeline.progress import Progress


def test_and_keep(
    path, model, split, *, note, quiet, checked, epsilons, rows, sets=None, minimal=None, transferred=None, **options
):
    """The dare.flags.Flags of a model with its checks (adv.checks), tested and saved in `path` unless they are there.

    note: what the progress says; checked: x_test rows for the checks; rows: x_test rows that are attacked; epsilons,
    sets, minimal and options: of dare.test.test; transferred: of adv.checks.check. Raises ValueError where the file
    is of another model or other data.
    """
    identity = models.fingerprint(model)
    if not path.is_file():
        with Progress(note, quiet) as progress:
            given = {"epsilons": epsilons, "rows": rows, "minimal": minimal or {}, "progress": progress, **options}
            flags = test.test(model, split, sets or {}, fingerprint=identity, **given)
            found = checks.check(
                model,
                split.x_test[checked],
                split.y_test[checked],
                epsilon=max(epsilons),
                transferred=transferred,
                attacked=(split.x_test[rows], split.y_test[rows]),
            )
        dataclasses.replace(flags, checks=tuple(map(dataclasses.asdict, found))).save(path)
    return Flags.load(path, model=identity, data=split.fingerprint)
