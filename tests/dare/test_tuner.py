"""The choice of a learning rate, and variants: the images they tune on, their random draws, and their facts."""

import numpy
import pytest

import models
from dare import dare, learning_rate, nnslicer, tuner
from train.diverged import Diverged


def test_the_rate_is_the_best_of_those_that_keep_accuracy():
    scores = {1e-6: (90.0, 10.0), 1e-5: (89.6, 40.0), 1e-4: (89.5, 60.0), 1e-3: (89.4, 99.0), 1e-2: (10.0, 99.0)}

    def score(weights):
        return dict(zip(("clean", "er"), scores[weights], strict=True))

    rate, grid = learning_rate.choose(list(scores), lambda rate: rate, score, clean=90.0)
    assert rate == 1e-4
    assert {tried: (each["clean"], each["er"]) for tried, each in grid.items()} == scores
    assert learning_rate.choose([1e-2, 1e-3], lambda rate: rate, score, clean=90.0)[0] == 1e-3, "none fits: the lowest"
    scores[1e-5] = (89.6, 60.0)
    assert learning_rate.choose(list(scores), lambda rate: rate, score, clean=90.0)[0] == 1e-5, "a tie: the first"


def test_a_rate_that_diverges_scores_nothing_and_other_errors_are_not_hidden():
    def make(rate):
        if rate == 1:
            raise Diverged("the loss became nan")
        if rate == 3:
            raise ValueError("a mask of another model")
        if rate == 5:
            return rate // 0
        return rate

    def score(weights):
        if weights == 2:
            raise models.NonFiniteLogits("logits are NaN")
        if weights == 4:
            raise ValueError("images of another shape")
        return {"clean": 90.0, "er": 5.0}

    rate, grid = learning_rate.choose([0.5, 1, 2], make, score, clean=90.0)
    assert rate == 0.5 and grid[1] == grid[2] == {"clean": 0.0, "er": 0.0}
    with pytest.raises(ValueError, match="a mask of another model"):
        learning_rate.choose([0.5, 3], make, score, clean=90.0)
    with pytest.raises(ValueError, match="images of another shape"):
        learning_rate.choose([0.5, 4], make, score, clean=90.0)
    with pytest.raises(ZeroDivisionError):
        learning_rate.choose([0.5, 5], make, score, clean=90.0)


def test_half_of_the_images_judge():
    rows = learning_rate.held_out(1001, 7)
    assert len(rows) == len(set(rows.tolist())) == 500 and (numpy.diff(rows) > 0).all()
    numpy.testing.assert_array_equal(rows, learning_rate.held_out(1001, 7))
    assert rows.tolist() != learning_rate.held_out(1001, 8).tolist()
    assert rows[0] < 20 and rows[-1] > 980


@pytest.fixture
def cell_tuner(cell):
    """A Tuner whose score is high for the rate 1e-4, and records of its calls to score and tune."""
    calls = []

    def score(weights, rows):
        calls.append(rows)
        change = max(float(abs(after - before).max()) for before, after in zip(original, weights, strict=True))
        return {"clean": 90.0, "er": 100 - abs(numpy.log10(change + 1e-12) + 3)}

    original = cell.model.get_weights()
    cell.tuner = tuner.Tuner(
        model=cell.model,
        original=original,
        history=cell.history,
        targets=cell.targets,
        slices=nnslicer.slice_model(cell.model, cell.x, cell.y, per=0.5),
        x=cell.x,
        y=cell.y,
        score=score,
        seed=2,
    )
    cell.calls = calls
    return cell


def test_rates_are_judged_on_images_that_they_are_not_tuned_on(cell_tuner, monkeypatch):
    tuned_on, improve = [], dare.improve

    def watch(model, variant, targets, *arguments, **settings):
        tuned_on.append((settings["learning_rate"], targets.index))
        return improve(model, variant, targets, *arguments, **settings)

    monkeypatch.setattr(dare, "improve", watch)
    make, facts = cell_tuner.tuner.variant(dare.VARIANTS["dare"], rates=[1e-6, 1e-4])
    assert facts["learning_rate"] == 1e-4 and list(facts["grid"]) == ["1e-06", "0.0001"]
    assert facts["judged_by"] == {"images": 24, "clean": 90.0, "least": 89.5}
    assert [rate for rate, _ in tuned_on] == [1e-6, 1e-4] and len(cell_tuner.calls) == 3
    for rows in cell_tuner.calls:
        for _, index in tuned_on:
            assert len(index) and not set(index.tolist()) & set(rows.tolist())
    make(0)
    assert tuned_on[-1][1].tolist() == cell_tuner.targets.index.tolist(), "the final tuning has all"
    for before, after in zip(cell_tuner.tuner.original, cell_tuner.model.get_weights(), strict=True):
        numpy.testing.assert_array_equal(before, after)


def test_one_rate_needs_no_choice_and_repeats_differ_by_their_seed(cell_tuner):
    make, facts = cell_tuner.tuner.variant(dare.VARIANTS["dare"], rates=[1e-3])
    assert not cell_tuner.calls and "grid" not in facts
    assert facts["combine"] == "intersection" and set(facts["frozen_share"]) == {"conv1", "conv2"}
    first, again, other = make(0), make(0), make(1)
    assert all(numpy.array_equal(*pair) for pair in zip(first, again, strict=True))
    assert not all(numpy.array_equal(*pair) for pair in zip(first, other, strict=True))


def test_a_random_source_draws_anew_and_streams_to_the_path(cell_tuner, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(dare, "improve", lambda model, variant, targets, *_, **__: seen.append(targets))
    path = tmp_path / "targets.h5"
    make, facts = cell_tuner.tuner.variant(dare.VARIANTS["dare-rand"], rates=[1e-3], path=path)
    make(0), make(1)
    assert facts["source"] == "random" and "frozen_share" in facts
    epochs = [dict(zip(targets.index.tolist(), targets.epoch.tolist(), strict=True)) for targets in seen]
    assert epochs[0] != epochs[1] and epochs[0].keys() == epochs[1].keys()
    assert not path.exists() and seen[0].activation[:].shape == seen[1].activation[:].shape


def test_facts_of_key_neurons_and_the_last_layer(cell_tuner):
    facts = cell_tuner.tuner.variant(dare.VARIANTS["dare-key"], rates=[1e-3])[1]
    assert len(facts["key_share"]) == 3 and all(0 < share <= 1 for share in facts["key_share"])
    facts = cell_tuner.tuner.variant(dare.VARIANTS["dare-last"], rates=[1e-3])[1]
    assert facts["layer"] == "dense1" and set(facts["frozen_share"]) == {"conv1", "conv2"}
