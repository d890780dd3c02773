"""The epochs that can still be chosen while training runs, against the choice from all epochs; slots of rows."""

import numpy
import pytest

from dare import epoch_choice, online_store
from dare.epoch_choice import CORRECT, MISCLASSIFIED


@pytest.mark.parametrize("seed", range(20))
def test_the_two_candidates_are_the_epochs_that_any_final_model_may_choose(seed):
    generator = numpy.random.default_rng(seed)
    epochs, samples = 7, 150
    log_probability = generator.integers(-5, 0, (epochs, samples)).astype("float32")
    y = generator.integers(0, 3, samples)
    prediction = generator.integers(0, 3, (epochs, samples)).astype("uint8")
    candidates = epoch_choice.Candidates.none(samples)
    for row in range(epochs):
        candidates, kinds, rows = candidates.update(row + 3, log_probability[row], prediction[row] == y)
        assert (candidates.epoch[kinds, rows] == row + 3).all()
        assert len(rows) == (candidates.epoch == row + 3).sum()
    for sample in range(samples):  # the first most confident correct epoch, and a misclassified one if more confident
        correct = [row for row in range(epochs) if prediction[row, sample] == y[sample]]
        best = max(correct, key=lambda row: log_probability[row, sample], default=None)
        overall = int(log_probability[:, sample].argmax())
        assert candidates.epoch[CORRECT, sample] == (0 if best is None else best + 3)
        if overall not in correct:
            assert candidates.epoch[MISCLASSIFIED, sample] == overall + 3
    final = generator.integers(-5, 0, samples).astype("float32"), generator.integers(0, 3, samples).astype("uint8")
    chosen = epoch_choice.most_confident(log_probability, prediction, list(range(3, 3 + epochs)), y, *final)
    assert ((chosen == 0) | (chosen == candidates.epoch).any(0)).all()
    assert (chosen > 0).any()


def test_free_slots_are_used_again():
    slots = numpy.array([[0, -1, 4, -1], [1, 7, -1, 2]])
    numpy.testing.assert_array_equal(online_store.free_slots(slots, 4), [3, 5, 6, 8])
    numpy.testing.assert_array_equal(online_store.free_slots(slots[:, :0], 3), [0, 1, 2])
    assert len(online_store.free_slots(slots, 0)) == 0
