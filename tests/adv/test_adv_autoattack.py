"""AutoAttack through ART: what it is given and gives, with ART's place taken; and the sentence where it is missing."""

import sys
import types

import numpy
import pytest

from adv import autoattack
from models import compute


@pytest.fixture
def toolbox(monkeypatch):
    """Stands in for ART: an attack that leaves the ball and the box; what it was given."""
    given = {}

    class Theirs:
        def __init__(self, classifier, **settings):
            given.update(settings, classifier=classifier)

        def generate(self, images, labels):
            given["labels"] = labels
            return images + 0.3

    evasion = types.SimpleNamespace(AutoAttack=Theirs)
    classification = types.SimpleNamespace(TensorFlowV2Classifier=lambda **settings: settings)
    parts = {"art.attacks.evasion": evasion, "art.estimators.classification": classification}
    for name in ("art", "art.attacks", "art.estimators", "multiprocess"):
        parts[name] = types.ModuleType(name)
    losses = types.SimpleNamespace()
    parts["tensorflow"] = types.SimpleNamespace(keras=types.SimpleNamespace(losses=losses))
    for name, module in parts.items():
        monkeypatch.setitem(sys.modules, name, module)
    return given


def test_the_result_is_in_the_ball_and_the_settings_are_those_of_the_paper(small_net, images, toolbox, monkeypatch):
    monkeypatch.setattr(compute, "BACKEND", "tensorflow")
    x, y = images[0][:6] / numpy.float32(255), images[1][:6].astype("int32")
    made = autoattack.AutoAttack().within(small_net, x, y, epsilon=0.1)
    assert made.dtype == numpy.float32 and made.min() >= 0 and made.max() <= 1
    numpy.testing.assert_allclose(made, numpy.minimum(x + numpy.float32(0.1), 1), atol=1e-6)
    assert (toolbox["eps"], toolbox["eps_step"], toolbox["norm"]) == (0.1, 0.2, numpy.inf)
    assert sys.modules["tensorflow"].keras.losses.Reduction.SUM == "sum"  # ART reads it, Keras 3 has it no more
    assert toolbox["labels"].tolist() == numpy.eye(3)[y].tolist()


def test_another_backend_is_one_sentence(monkeypatch):
    monkeypatch.setattr(compute, "BACKEND", "jax")
    with pytest.raises(ValueError, match="Keras runs on jax: leave it out"):
        autoattack.AutoAttack.check()


def test_a_missing_toolbox_is_one_sentence(monkeypatch):
    monkeypatch.setattr(compute, "BACKEND", "tensorflow")
    monkeypatch.setitem(sys.modules, "art", None)
    with pytest.raises(ValueError, match="leave"):
        autoattack.AutoAttack.check()
