"""APGD against a loop over one image written from the paper, in closed form, and in every size of batch."""

import dataclasses
import itertools

import keras
import numpy
import pytest

from adv import apgd, apgd_step, pgd, search
from adv.base import direction
from models import compute

pytestmark = pytest.mark.backends

CE, T = apgd.APGD(steps=12), apgd.APGD(loss="dlr-targeted", steps=12)


@pytest.fixture(scope="module")
def dense():
    """Two dense layers, 5x5x2 -> 5 classes, the same weights on every backend: (model, its weights)."""
    generator = numpy.random.default_rng(7)
    shapes = ((50, 9), (9,), (9, 5), (5,))
    weights = [generator.normal(0, scale, shape) for shape, scale in zip(shapes, (0.3, 0.1, 1, 0.1), strict=True)]
    inputs = keras.Input((5, 5, 2))
    hidden = keras.layers.Dense(9, activation="tanh")(keras.layers.Flatten()(inputs))
    model = keras.Model(inputs, keras.layers.Dense(5)(hidden))
    model.set_weights([part.astype("float32") for part in weights])
    return model, weights


@pytest.fixture(scope="module")
def scene(dense):
    x = numpy.random.default_rng(4).random((16, 5, 5, 2), dtype=numpy.float32)
    return x, search.classes(dense[0], x).astype(numpy.int32)


def judge(weights, loss, label, target):
    """x -> (loss, its gradient, whether misclassified), by hand in float64."""
    first, bias, second, offset = (part.astype("float32").astype(float) for part in weights)

    def judged(x):
        hidden = numpy.tanh(x.reshape(-1) @ first + bias)
        z = hidden @ second + offset
        order = (-z).argsort()
        unit = numpy.eye(5)
        if loss == "ce":
            p = numpy.exp(z - z.max()) / numpy.exp(z - z.max()).sum()
            value, gradient = -numpy.log(p[label]), p - unit[label]
        else:
            if loss == "dlr":
                other = order[0] if order[0] != label else order[1]
                scale, scale_slope = z[order[0]] - z[order[2]], unit[order[0]] - unit[order[2]]
            else:
                other = target
                scale = z[order[0]] - (z[order[2]] + z[order[3]]) / 2
                scale_slope = unit[order[0]] - (unit[order[2]] + unit[order[3]]) / 2
            value = (z[other] - z[label]) / scale
            gradient = (unit[other] - unit[label]) / scale - value / scale * scale_slope
        back = (second @ gradient * (1 - hidden**2)) @ first.T
        return value, back.reshape(x.shape), order[0] != label

    return judged


def length(x):
    return numpy.sqrt(numpy.square(x).sum())


def one_run(judged, image, start, epsilon, attack):
    """Algorithm 1 on one image: (first misclassified iterate or else the best point, its loss, fooled, sizes)."""

    def project(x):
        change = x - image
        if attack.norm == "linf":
            change = numpy.clip(change, -epsilon, epsilon)
        elif length(change) > epsilon:
            change = change / length(change) * epsilon
        return numpy.clip(image + change, 0, 1)

    def ascent(gradient):
        return numpy.sign(gradient) if attack.norm == "linf" else gradient / (length(gradient) + 1e-12)

    share = [0, 0.22]
    while share[-1] + max(share[-1] - share[-2] - 0.03, 0.06) <= 1 + 1e-9:
        share.append(share[-1] + max(share[-1] - share[-2] - 0.03, 0.06))
    due = sorted({int(numpy.ceil(round(part * attack.steps, 6))) for part in share})

    x, before, size, rises, halved = start, start, 2 * epsilon, [], False
    best = best_value = best_gradient = value_at_origin = value_at_check = None
    sizes = []
    for k in range(attack.steps + 1):
        value, gradient, misclassified = judged(x)
        if misclassified:
            return x, value, True, sizes
        if k > 0:
            rises.append(value > value_at_origin)
        if k == 0 or value > best_value:
            best, best_value, best_gradient = x, value, gradient
        if k == attack.steps:
            return best, best_value, False, sizes
        if k == 0:
            value_at_check = value
        elif k in due:
            if sum(rises) < attack.rho * len(rises) or (not halved and best_value == value_at_check):
                size, halved = size / 2, True
                x, gradient, value = best, best_gradient, best_value
            else:
                halved = False
            rises, value_at_check = [], best_value
        z = project(x + size * ascent(gradient))
        after = z if k == 0 else project(x + attack.alpha * (z - x) + (1 - attack.alpha) * (x - before))
        x, before, value_at_origin = after, x, value
        sizes.append(size / epsilon)


def whole(dense, image, label, epsilon, attack):
    """All runs on an image: (result, fooled, step sizes of every run)."""
    model, weights = dense
    targets = [t for t in (-numpy.asarray(model(image[None]))[0]).argsort() if t != label][: attack.targets]
    runs = attack.restarts * (len(targets) if attack.loss == "dlr-targeted" else 1)
    highest, sizes = -numpy.inf, []
    for run in range(runs):
        noise = direction(image[None], seed=attack.seed, draw=run, norm=attack.norm)[0]
        start = numpy.clip(image + epsilon * noise, 0, 1)
        judged = judge(weights, attack.loss, label, targets[run // attack.restarts])
        point, value, fooled, tried = one_run(judged, image.astype(float), start, epsilon, attack)
        sizes += tried
        if fooled:
            return point, True, sizes
        if value > highest:
            result, highest = point, value
    return result, False, sizes


def same(images, others):
    """Where two runs end at the same point. Rounding decides between points whose losses are equal up to rounding."""
    return numpy.abs(images - numpy.asarray(others)).max(axis=(1, 2, 3)) < 1e-5


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("loss", ["ce", "dlr", "dlr-targeted"])
def test_equals_algorithm_1_written_out_for_one_image(loss, norm, dense, scene):
    attack = apgd.APGD(loss=loss, norm=norm, steps=12, restarts=2, targets=3, seed=3)
    epsilon = 0.06 if norm == "linf" else 0.3
    points, fooled = attack._attack(dense[0], *scene, numpy.full(16, epsilon), 256)
    expected = [whole(dense, image, label, epsilon, attack) for image, label in zip(*scene, strict=True)]
    numpy.testing.assert_array_equal(fooled, [part[1] for part in expected])
    assert 0 < fooled.sum() < 16
    for actual, (other, *_), label in zip(points, expected, scene[1], strict=True):
        judges = [judge(dense[1], loss, label, target) for target in range(5) if target != label]
        highest = [max(judged(point)[0] for judged in judges) for point in (actual, other)]
        assert highest[0] == pytest.approx(highest[1], abs=1e-5)
    assert same(points, [part[0] for part in expected]).sum() >= 14
    assert any(min(sizes, default=2) < 1 for *_, sizes in expected)  # steps were halved, twice or more


def test_checkpoints_of_100_steps_are_the_paper_s():
    assert apgd_step.checkpoints(100) == [0, 22, 41, 57, 70, 80, 87, 93, 99]
    assert apgd_step.checkpoints(10) == [0, 3, 5, 6, 7, 8, 9, 10]
    assert apgd_step.checkpoints(1) == [0, 1]
    lengths = apgd_step.windows(100)
    assert [(index, size) for index, size in enumerate(lengths) if size >= 0] == [
        (0, 0), (22, 22), (41, 19), (57, 16), (70, 13), (80, 10), (87, 7), (93, 6), (99, 6),
    ]  # fmt: skip


@pytest.mark.parametrize(("loss", "norm"), [("ce", "linf"), ("dlr-targeted", "l2")])
def test_perturbations_stay_in_the_ball_and_in_range(loss, norm, net, images):
    x = images[0].copy()
    x[:, :2], x[:, 2:4] = 0, 1
    labels = search.classes(net, x).astype(numpy.int32)
    attack = apgd.APGD(loss=loss, norm=norm, steps=12)
    for epsilon in (0.02, 0.3):
        attacked = attack.within(net, x, labels, epsilon=epsilon)
        assert attacked.dtype == numpy.float32 and attacked.shape == x.shape
        assert attacked.min() >= 0 and attacked.max() <= 1
        size = search.norm(attacked - x, norm)
        assert size.max() <= epsilon + 1e-6 and size.min() > 0


@pytest.mark.parametrize("attack", [CE, T], ids=["ce", "t"])
def test_no_epsilon_changes_nothing(attack, net, images):
    labels = search.classes(net, images[0]).astype(numpy.int32)
    numpy.testing.assert_array_equal(attack.within(net, images[0], labels, epsilon=0), images[0])


@pytest.mark.parametrize(("loss", "norm"), [("ce", "linf"), ("dlr", "l2"), ("dlr-targeted", "linf")])
def test_linear_model_is_fooled_from_its_margin_on(loss, norm, linear):
    model, weights, bias = linear
    x = (0.4 + 0.2 * numpy.random.default_rng(9).random((12, 8, 8, 1))).astype(numpy.float32)
    score = (x.astype(float) * weights).sum(axis=(1, 2, 3)) + bias
    labels = (score > 0).astype(numpy.int32)
    margin = numpy.abs(score) / (numpy.abs(weights).sum() if norm == "linf" else numpy.linalg.norm(weights))
    attack = apgd.APGD(loss=loss, norm=norm, steps=12, bisections=8)
    for factor, misclassified in ((0.999, False), (1.001, True)):
        attacked, _ = attack._attack(model, x, labels, factor * margin, 256)
        assert ((search.classes(model, attacked) != labels) == misclassified).all()
    closest, success = attack.closest(model, x, labels)
    assert success.all()
    size = search.norm(closest - x, norm)
    assert (size >= margin * (1 - 1e-4)).all() and (size <= margin + 2 * 0.3 / 2**8).all()


@pytest.mark.parametrize("attack", [CE, T], ids=["ce", "t"])
def test_the_same_in_batches_of_any_size_and_in_any_company(attack, dense, scene):
    x, labels = scene
    points, fooled = attack._attack(dense[0], x, labels, numpy.full(16, 0.05), 256)
    again, _ = attack._attack(dense[0], x, labels, numpy.full(16, 0.05), 256)
    numpy.testing.assert_array_equal(points, again)
    for rows in (numpy.arange(16), numpy.array([9, 2, 11, 1])):
        part, fooled_too = attack._attack(dense[0], x[rows], labels[rows], numpy.full(len(rows), 0.05), 8)
        numpy.testing.assert_array_equal(fooled_too, fooled[rows])
        assert (~same(part, points[rows])).sum() <= 1
    other = dataclasses.replace(attack, seed=1).within(dense[0], x, labels, epsilon=0.05)
    assert (other != points).any()


def test_a_loop_in_one_call_equals_its_steps(monkeypatch, dense, scene):
    steps, fooled = T._attack(dense[0], *scene, numpy.full(16, 0.05), 256)
    monkeypatch.setattr(compute, "ON_ACCELERATOR", True)
    loop, fooled_too = T._attack(dense[0], *scene, numpy.full(16, 0.05), 256)
    numpy.testing.assert_array_equal(fooled_too, fooled)
    assert same(loop, steps).sum() >= 15


def test_no_weaker_than_pgd_of_as_many_steps(net):
    x = numpy.random.default_rng(8).random((32, 8, 8, 2), dtype=numpy.float32)
    labels = search.classes(net, x).astype(numpy.int32)
    robust = {
        attack: (search.classes(net, attack.within(net, x, labels, epsilon=0.03)) == labels).sum()
        for attack in (pgd.PGD(steps=30), CE, T)
    }
    reference, ce, targeted = robust.values()
    assert 3 < reference < 29
    assert ce <= reference + 1
    assert targeted <= reference + 1


def test_an_image_fooled_by_one_target_is_left_out_of_the_next(monkeypatch, dense, scene):
    seen = []
    run = apgd.APGD._run
    monkeypatch.setattr(apgd.APGD, "_run", lambda self, model, constants, *rest: record(self, model, constants, *rest))

    def record(self, model, constants, *rest):
        outcome = run(self, model, constants, *rest)
        seen.append((len(constants[0]), int(outcome[2].sum()), constants[1], constants[2]))
        return outcome

    _, fooled = T._attack(dense[0], *scene, numpy.full(16, 0.05), 256)
    assert len(seen) == 4 and seen[0][0] == 16  # five classes: four targets
    for (count, gone, *_), (after, *_) in itertools.pairwise(seen):
        assert after == count - gone
    assert fooled.sum() == sum(gone for _, gone, *_ in seen)
    logits = numpy.asarray(dense[0](scene[0]))
    numpy.testing.assert_array_equal(seen[0][3], logits.argsort(axis=1)[:, -2])
    assert all((labels != targets).all() for *_, labels, targets in seen)


def test_a_loss_that_is_not_finite_is_refused():
    inputs = keras.Input((4, 4, 1))
    mean = keras.layers.GlobalAveragePooling2D()(inputs)
    root = keras.layers.Lambda(lambda x: keras.ops.sqrt(0.55 - x), output_shape=(1,))(mean)
    model = keras.Model(inputs, keras.layers.Dense(2)(root))
    model.layers[-1].set_weights([numpy.float32([[9, -9]]), numpy.float32([0, 0])])
    x = numpy.full((3, 4, 4, 1), 0.5, numpy.float32)
    labels = numpy.zeros(3, numpy.int32)
    assert numpy.isfinite(numpy.asarray(model(x))).all()
    with pytest.raises(ValueError, match="loss of APGD-CE is NaN or infinite near 3 of 3 images"):
        CE.within(model, x, labels, epsilon=0.2)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"loss": "hinge"}, "loss is 'hinge', expected one of ce, dlr, dlr-targeted"),
        ({"norm": "l1"}, "norm is 'l1', expected one of linf, l2"),
        ({"steps": 0}, "steps is 0, expected a whole number of at least 1"),
        ({"restarts": 0}, "restarts is 0"),
        ({"targets": 0}, "targets is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"rho": 1.5}, "rho is 1.5, expected a number from 0 to 1"),
        ({"alpha": -0.1}, "alpha is -0.1"),
    ],
)
def test_a_hyper_parameter_out_of_range_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        apgd.APGD(**settings)


def test_every_attack_says_what_it_is():
    assert [apgd.APGD(loss=loss).title for loss in apgd_step.LOSSES] == ["APGD-CE", "APGD-DLR", "APGD-T"]
    specification = T.specification()
    assert specification["attack"] == "apgd" and specification["loss"] == "dlr-targeted"
    assert set(dataclasses.asdict(T)) <= set(specification)
