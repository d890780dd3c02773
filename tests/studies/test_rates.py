"""A learning rate is chosen by what short runs reach on held-out images."""

import types

import pytest

from studies.robust_training import rates
from train.diverged import Diverged


@pytest.fixture
def run(monkeypatch):
    """``run(rate, path)`` of scripted runs of two epochs: rate -> what they reach; None: the loss is not finite."""
    monkeypatch.setattr(rates, "History", lambda path: types.SimpleNamespace(last=0))
    monkeypatch.setattr(rates.robust, "selected", lambda history, select: 1)

    def scripted(**reached):
        def run(rate, path):
            assert path.name == f"rate-{rate:g}"
            value = reached[f"at_{rate:g}".replace(".", "_")]
            if value is None:
                raise Diverged("the loss became nan in epoch 1")
            metrics = {"probe_robust": value, "probe_clean": 1 - value, "bp_epochs": 2.0}
            return types.SimpleNamespace(last=2, record=lambda epoch: (None, None, metrics))

        return run

    return scripted


def test_the_best_rate_is_taken_and_the_smallest_of_equals(run, tmp_path):
    runs = run(at_0_1=0.3, at_0_01=0.2, at_1=0.3, at_10=None)
    rate, reached, passes = rates.choose([1, 0.1, 0.01, 0.1, 10], runs, tmp_path, "probe_robust")
    assert rate == 0.1 and reached == {"0.01": 0.2, "0.1": 0.3, "1": 0.3, "10": None} and passes == 6
    assert rates.choose([1, 0.1, 0.01], runs, tmp_path, "probe_clean")[0] == 0.01, "a control, by clean accuracy"


def test_no_finite_rate_is_one_sentence(run, tmp_path):
    with pytest.raises(Diverged, match="at none of the learning rates .1, 10.: give lower ones"):
        rates.choose([1, 10], run(at_1=None, at_10=None), tmp_path, "probe_robust")
