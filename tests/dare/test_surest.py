"""Which epochs are kept while training, against the choice from all of them, and where their rows lie."""

import numpy
import pytest

from dare import get_ats, surest


@pytest.mark.parametrize("seed", range(20))
def test_the_two_kept_epochs_are_those_that_any_final_model_may_choose(seed):
    generator = numpy.random.default_rng(seed)
    epochs, samples = 7, 150
    log_probability = generator.integers(-5, 0, (epochs, samples)).astype("float32")
    y = generator.integers(0, 3, samples)
    prediction = generator.integers(0, 3, (epochs, samples)).astype("uint8")
    state = surest.nothing(samples)
    for row in range(epochs):
        rows, kinds, state = surest.improve(state, row + 3, log_probability[row], prediction[row] == y)
        assert (state[0][kinds, rows] == row + 3).all() and (state[2] == -1).all()
        assert len(rows) == (state[0] == row + 3).sum()
    for sample in range(samples):  # read aloud: the first surest right epoch, and a wrong one that may win over it
        right = [row for row in range(epochs) if prediction[row, sample] == y[sample]]
        best = max(right, key=lambda row: log_probability[row, sample], default=None)
        overall = int(log_probability[:, sample].argmax())
        assert state[0][surest.RIGHT, sample] == (0 if best is None else best + 3)
        if overall not in right:
            assert state[0][surest.WRONG, sample] == overall + 3
    final = generator.integers(-5, 0, samples).astype("float32"), generator.integers(0, 3, samples).astype("uint8")
    chosen = get_ats.choose(log_probability, prediction, list(range(3, 3 + epochs)), y, *final)
    assert ((chosen == 0) | (chosen == state[0]).any(0)).all()
    assert (chosen > 0).any()


def test_slots_are_used_again():
    slots = numpy.array([[0, -1, 4, -1], [1, 7, -1, 2]])
    numpy.testing.assert_array_equal(surest.free_slots(slots, 4), [3, 5, 6, 8])
    numpy.testing.assert_array_equal(surest.free_slots(slots[:, :0], 3), [0, 1, 2])
    assert len(surest.free_slots(slots, 0)) == 0
