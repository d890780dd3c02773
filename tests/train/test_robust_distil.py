"""Distillation in float64, its teachers at the adversarials, what is refused."""

import numpy
import pytest

from models import compute
from train.robust import METHODS
from train.robust.adversarial import Adversarial
from train.robust.distil import Distillation
from train.robust.perturbation import StepSize

pytestmark = pytest.mark.backends


def log_softmax(logits):
    shifted = logits.astype("float64") - logits.max(-1, keepdims=True)
    return shifted - numpy.log(numpy.exp(shifted).sum(-1, keepdims=True))


@pytest.mark.parametrize("scale", [1.0, 200.0, 0.0])
def test_the_loss_in_float64(scale):
    generator = numpy.random.default_rng(0)
    z, first, second = ((scale * generator.normal(size=(6, 4)) + 0.0).astype("float32") for _ in range(3))
    labels = numpy.arange(6) % 4
    soft = [log_softmax(teacher / 2).astype("float32") for teacher in (first, second)]
    values, correct = Distillation().objective(lambda x: z, None, None, labels, None, 1.0, 0.0, *soft)
    expected = -0.3 * log_softmax(z)[numpy.arange(6), labels]
    for share, teacher in ((0.1, first), (0.6, second)):
        expected -= share * 4 * (numpy.exp(log_softmax(teacher / 2)) * log_softmax(z / 2)).sum(-1)
    numpy.testing.assert_allclose(numpy.asarray(values), expected, rtol=1e-4, atol=1e-5)
    assert (numpy.asarray(correct) == (z.argmax(-1) == labels)).all()


def test_teachers_see_the_adversarials_in_eval_mode_and_stay(tiny, batch, seen):
    images, labels = batch
    teachers, passed = [tiny.build(), tiny.build()], seen(0)
    teachers[1].get_layer("conv1").kernel.assign(0.5 * teachers[1].get_layer("conv1").kernel)
    before = [tiny.weights(teacher) for teacher in teachers]
    strategy = METHODS["kd"].strategy
    outcome = tiny.prepared(strategy, tiny.build(), rate=0.0, teachers=teachers)(
        images, labels, 3, numpy.random.default_rng(0)
    )
    assert outcome.passes == 5
    for teacher, weights in zip(teachers, before, strict=True):
        assert all(map(numpy.array_equal, tiny.weights(teacher), weights))
    log_probabilities = strategy.distil.nets(teachers)(passed[0])
    for teacher, log_q in zip(teachers, log_probabilities, strict=True):
        logits = numpy.asarray(compute.forward(teacher)(passed[0]))
        numpy.testing.assert_allclose(numpy.asarray(log_q), log_softmax(logits / 2), atol=1e-5)


def test_teachers_that_lack_and_other_losses_are_refused(tiny):
    with pytest.raises(ValueError, match="0 teachers, expected the nets of standard and rice"):
        tiny.prepared(METHODS["kd"].strategy, tiny.build(), teachers=[])
    with pytest.raises(ValueError, match="use it with no other loss"):
        Adversarial(loss="trades", step=StepSize(share=0.25), distil=Distillation())
    with pytest.raises(ValueError, match="expected a weight of the labels and one for each teacher"):
        Distillation(weights=(0.5, 0.5))
