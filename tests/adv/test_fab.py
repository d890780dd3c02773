"""FAB: its projection against a linear program, its distance on a linear net, its random starts."""

import numpy
import pytest
import scipy.optimize

from adv import attacks, boundary, search
from adv.base import other_classes
from models import compute

pytestmark = pytest.mark.backends


def project(x, gradient, gap, norm):
    arrays = [numpy.float32(part).reshape(-1, 2, 3, 1) for part in (x, gradient)]
    return numpy.asarray(boundary.project(*arrays, numpy.float32(gap), norm)).reshape(-1, 6)


def planes(count):
    """(x, gradient, gap) of planes in six pixels, some of which the box does not reach; some gradients are 0."""
    generator = numpy.random.default_rng(2)
    x, gradient = generator.random((count, 6)), generator.normal(size=(count, 6))
    gradient[generator.random((count, 6)) < 0.2] = 0
    return x, gradient, generator.normal(size=count) * 1.5


def reach(x, gradient, gap):
    """How much of the gap all pixels together can close."""
    falls = gradient * numpy.where(gap >= 0, 1, -1)[:, None]
    return (numpy.abs(gradient) * numpy.where(falls > 0, x, 1 - x)).sum(1)


def test_the_projection_in_linf_is_that_of_a_linear_program():
    x, gradient, gap = planes(200)
    change = project(x, gradient, gap, "linf")
    reachable = reach(x, gradient, gap) > numpy.abs(gap) + 1e-4
    assert 50 < reachable.sum() < 190
    for row in numpy.flatnonzero(reachable):
        limits = numpy.vstack([numpy.eye(6), -numpy.eye(6)])
        limits = numpy.hstack([limits, -numpy.ones((12, 1))])  # |d_i| <= t
        bounds = [*zip(-x[row], 1 - x[row], strict=True), (0, None)]
        plane = numpy.append(gradient[row], 0)[None]
        solution = scipy.optimize.linprog([0] * 6 + [1], limits, numpy.zeros(12), plane, [-gap[row]], bounds)
        assert solution.success
        numpy.testing.assert_allclose(numpy.abs(change[row]).max(), solution.fun, atol=2e-5)
        numpy.testing.assert_allclose(gradient[row] @ change[row], -gap[row], atol=2e-5)


def test_the_projection_in_l2_is_the_nearest_point():
    x, gradient, gap = planes(40)
    change = project(x, gradient, gap, "l2")
    for row in numpy.flatnonzero(reach(x, gradient, gap) > numpy.abs(gap) + 1e-2):
        plane = {"type": "eq", "fun": lambda d, row=row: gradient[row] @ d + gap[row]}
        bounds = list(zip(-x[row], 1 - x[row], strict=True))
        solution = scipy.optimize.minimize(lambda d: d @ d, numpy.zeros(6), bounds=bounds, constraints=plane, tol=1e-9)
        assert solution.success
        numpy.testing.assert_allclose(change[row], solution.x, atol=2e-4)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_changes_stay_in_the_box_and_go_as_far_as_they_can(norm):
    x, gradient, gap = planes(200)
    change = project(x, gradient, gap, norm)
    assert (x + change).min() >= -1e-6 and (x + change).max() <= 1 + 1e-6
    assert (change[gradient == 0] == 0).all()
    far = reach(x, gradient, gap) < numpy.abs(gap)
    assert far.any()
    numpy.testing.assert_allclose(numpy.abs((gradient * change).sum(1))[far], reach(x, gradient, gap)[far], rtol=1e-5)
    assert not project(x, 0 * gradient, gap, norm).any()


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("targeted", [True, False])
def test_its_distance_is_exact_on_a_linear_net(norm, targeted, linear):
    model, weights, bias = linear
    x = (0.4 + 0.2 * numpy.random.default_rng(9).random((12, 8, 8, 1))).astype(numpy.float32)
    score = (x.astype(float) * weights).sum(axis=(1, 2, 3)) + bias
    dual = numpy.abs(weights).sum() if norm == "linf" else numpy.linalg.norm(weights)
    closest, success = attacks.FAB(norm=norm, targeted=targeted).closest(model, x, (score > 0).astype("int32"))
    assert success.all()
    ratio = search.norm(closest - x.astype(float), norm) / (numpy.abs(score) / dual)
    assert ratio.min() > 1 - 1e-3 and ratio.max() < 1.01


def test_restarts_find_no_less_and_begin_elsewhere(net, images):
    x, labels = images[0], search.classes(net, images[0]).astype("int32")
    once, again, other = (
        attacks.FAB(steps=1, restarts=count, seed=seed).closest(net, x, labels)[0]
        for count, seed in ((1, 0), (3, 0), (3, 1))
    )
    assert (once == x).all(axis=(1, 2, 3)).sum() >= (again == x).all(axis=(1, 2, 3)).sum()
    assert (again != other).any()


def test_its_distances_serve_every_epsilon(net, images):
    x, labels = images[0], search.classes(net, images[0]).astype("int32")
    closest, _ = attacks.FAB(steps=10).closest(net, x, labels)
    size = search.norm(closest - x, "linf")
    epsilon = float(numpy.median(size))
    within = attacks.FAB(steps=10).within(net, x, labels, epsilon=epsilon)
    numpy.testing.assert_array_equal(search.classes(net, within) != labels, size <= epsilon)


def test_hyper_parameters_out_of_range():
    for refused in ({"norm": "l1"}, {"steps": 0}, {"restarts": 0}, {"most": 0}, {"back": 2}, {"overshoot": 0.5}):
        with pytest.raises(ValueError, match=next(iter(refused))):
            attacks.FAB(**refused)


def test_the_other_classes_come_most_confident_first(net, images):
    logits = compute.predict(compute.forward(net), images[0])
    others = other_classes(net, images[0], images[1], 2)
    for row, label, classes in zip(logits, images[1], others, strict=True):
        assert classes.tolist() == [k for k in (-row).argsort() if k != label][:2]
