"""Of the epochs seen so far, the two that a sample can still take its activation from: one wrong, one right.

Ours (see dare/online.py). In get_ats.choose the final model M decides two things only: how sure an epoch must at least
be and, where M is wrong, that the epoch must be right. So only the surest right epoch can be chosen, and the surest
wrong one as long as it is surer than every right one; the first of equals, as there.

A state is (epoch, log_probability, slot), each (2, N): of the wrong and the right one; epoch 0 and slot -1 for none.
"""

import numpy

WRONG, RIGHT = 0, 1


def nothing(samples):
    """The state before the first epoch."""
    shape = (2, samples)
    return numpy.zeros(shape, "int32"), numpy.full(shape, -numpy.inf, "float32"), numpy.full(shape, -1, "int64")


def improve(state, epoch, log_probability, right):
    """The samples that `epoch` improves, which of their two entries it becomes, and the state after it.

    log_probability (N,) float32; right (N,) bool: whether the epoch is right. Returns (rows (K,), kinds (K,) WRONG or
    RIGHT, state); new entries have slot -1, and so have wrong ones that a right one outdoes.
    """
    epochs, surest, slots = (array.copy() for array in state)
    rows = numpy.flatnonzero(log_probability > numpy.where(right, surest[RIGHT], surest.max(0)))
    kinds = numpy.where(right[rows], RIGHT, WRONG)
    epochs[kinds, rows], surest[kinds, rows], slots[kinds, rows] = epoch, log_probability[rows], -1
    outdone = surest[RIGHT] > surest[WRONG]
    epochs[WRONG, outdone], surest[WRONG, outdone], slots[WRONG, outdone] = 0, -numpy.inf, -1
    return rows, kinds, (epochs, surest, slots)


def free_slots(slots, count):
    """The `count` lowest slots that are not among `slots`, ascending."""
    used = numpy.unique(slots[slots >= 0])
    return numpy.setdiff1d(numpy.arange(len(used) + count), used)[:count]
