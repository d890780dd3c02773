"""NuAT: the nuclear norm and its gradient against a singular value decomposition in float64, its two steps."""

import numpy
import pytest

from models import compute, perturb
from train.robust import METHODS, nuclear
from train.robust.nuclear import Nuclear

pytestmark = pytest.mark.backends


def value_and_gradient(model, z):
    """The norm of z and its gradient, compiled; the model is not used."""
    return compute.compiled(model, _differentiated)(z)


def _differentiated(call, z):
    (values, _), gradient = compute.gradient(lambda x: (nuclear.norm(x), ()), z)
    return values, gradient


def apart(singular, rows=12, columns=5, seed=0):
    """A matrix of given singular values."""
    generator = numpy.random.default_rng(seed)
    left, _ = numpy.linalg.qr(generator.normal(size=(rows, columns)))
    right, _ = numpy.linalg.qr(generator.normal(size=(columns, columns)))
    return left @ numpy.diag(singular) @ right.T, left @ right.T


@pytest.mark.parametrize("scale", [1.0, 1e-12, 1e15])
@pytest.mark.parametrize("singular", [[5, 3, 2, 1, 0.5], [1, 1, 1, 1, 1], [9, 9, 2, 2, 2]])
def test_value_and_gradient_equal_those_of_the_decomposition(tiny, singular, scale):
    z, expected = apart(numpy.array(singular) * scale)
    if scale < 1e-4:  # below the root of LEAST the gradient shrinks
        expected = expected * 0
    value, gradient = map(numpy.asarray, value_and_gradient(tiny.build(), z.astype("float32")))
    numpy.testing.assert_allclose(gradient, expected, atol=2e-3)
    if scale >= 1:
        assert float(value) == pytest.approx(sum(singular) * scale, rel=2e-3)
        assert float(value) == pytest.approx(numpy.linalg.norm(z, "nuc"), rel=2e-3)


def test_the_gradient_of_random_differences(tiny):
    model = tiny.build()
    for seed in range(5):
        z = numpy.random.default_rng(seed).normal(size=(40, 10))
        left, _, right = numpy.linalg.svd(z, full_matrices=False)
        _, gradient = value_and_gradient(model, z.astype("float32"))
        numpy.testing.assert_allclose(numpy.asarray(gradient), left @ right, atol=1e-4)


@pytest.mark.parametrize("kind", ["zero", "one", "rank", "constant", "few", "huge"])
def test_the_gradient_is_finite_and_of_norm_one_at_most_where_the_decompositions_is_not(tiny, kind):
    generator = numpy.random.default_rng(3)
    z = {
        "zero": numpy.zeros((6, 4)),
        "one": numpy.ones((6, 4)),
        "rank": generator.normal(size=(6, 1)) @ generator.normal(size=(1, 4)),
        "constant": generator.normal(size=(6, 4)) * [1, 0, 0, 1],
        "few": generator.normal(size=(2, 4)),
        "huge": 1e18 * generator.normal(size=(6, 4)),
    }[kind]
    value, gradient = map(numpy.asarray, value_and_gradient(tiny.build(), z.astype("float32")))
    assert numpy.isfinite(value) and numpy.isfinite(gradient).all()
    assert numpy.linalg.norm(gradient, 2) <= 1.05
    assert float(value) == pytest.approx(numpy.linalg.norm(z, "nuc"), rel=5e-3, abs=1e-6)


def test_two_steps_as_written_out(tiny, batch, seen):
    images, labels = batch
    model, passed = tiny.build(), seen(0)
    run = tiny.prepared(Nuclear(top=8.0), model, rate=0.0)
    clean = numpy.asarray(compute.forward(model)(images))
    factor, count = 8.0 * 0.25, len(images)
    generator = numpy.random.default_rng(4)
    signs = 2 * numpy.random.default_rng(4).integers(0, 2, images.shape) - 1
    current = numpy.float32(images + tiny.epsilon / 2 * signs).clip(0, 1)

    def first(logits, _):
        return perturb.cross_entropy(logits, labels) + factor * nuclear.norm(clean - logits) / count

    for loss in (first, perturb.cross_entropy):
        gradient = numpy.asarray(compute.input_gradient(model, loss)(current, labels))
        moved = current + tiny.epsilon * numpy.sign(gradient)
        current = (images + (moved - images).clip(-tiny.epsilon, tiny.epsilon)).clip(0, 1).astype("float32")
    assert run(images, labels, 2, generator, progress=0.25).passes == 4.5
    assert (abs(passed[0] - current) > 1e-6).mean() < 0.01


def test_the_first_step_of_the_averaged_kind_is_up_the_loss_of_the_average(tiny, batch):
    model = tiny.build()
    run = tiny.prepared(METHODS["nuat2-wa"].strategy, model)
    before = model.get_weights()
    run(*batch, 2, numpy.random.default_rng(0), progress=0.5)
    guide = [*run.state().values()]
    for start, own, averaged in zip(before, model.get_weights(), guide, strict=True):
        numpy.testing.assert_allclose(averaged, 0.99 * start + 0.01 * own, atol=1e-6)
    run.restore({name: value + 1 for name, value in run.state().items()})
    for averaged, restored in zip(guide, run.state().values(), strict=True):
        numpy.testing.assert_array_equal(averaged + 1, restored)


@pytest.mark.parametrize("settings", [{"top": -1.0}, {"decay": 1.0}])
def test_values_out_of_range_are_refused(settings):
    with pytest.raises(ValueError, match="expected at least 0, and a decay in"):
        Nuclear(**settings)
