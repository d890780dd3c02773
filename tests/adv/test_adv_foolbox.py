"""Our attacks against foolbox's own, and foolbox's attacks on a Keras model."""

import foolbox
import keras
import numpy
import pytest

from adv import attacks, foolbox_model, search
from models import compute, perturb

LABELS = foolbox_model.LABELS
EPSILON = 0.04  # some of the images withstand it, some do not


def test_fgsm_is_foolbox_fgsm(net, images):
    x, y = images
    theirs = foolbox_model.run(foolbox.attacks.FGSM(random_start=False), net, x, y, epsilon=0.05, batch_size=5)
    numpy.testing.assert_allclose(attacks.FGSM().within(net, x, y.astype("int32"), epsilon=0.05), theirs, atol=1e-6)


def test_pgd_is_foolbox_pgd_for_images_that_withstand_it(net, images):
    x = images[0]
    labels = search.classes(net, x).astype(numpy.int32)
    theirs = foolbox_model.run(
        foolbox.attacks.LinfPGD(rel_stepsize=0.1, steps=10, random_start=False), net, x, labels, epsilon=EPSILON
    )
    ours = attacks.PGD(rel_stepsize=0.1, steps=10).within(net, x, labels, epsilon=EPSILON)
    robust = search.classes(net, ours) == labels
    assert 0 < robust.sum() < len(x)
    numpy.testing.assert_allclose(ours[robust], theirs[robust], atol=1e-6)
    assert not (robust & (search.classes(net, theirs) != labels)).any()

    def ten_steps(call, images, labels):
        return perturb.pgd(call, images, labels, epsilon=EPSILON, step_size=0.1 * EPSILON, steps=10)

    ours = compute.predict(compute.compiled(net, ten_steps), x, labels)
    numpy.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_compiled_pgd_is_a_foolbox_attack(net, images):
    x, y = (keras.ops.convert_to_tensor(part, dtype) for part, dtype in zip(images, ("float32", LABELS), strict=True))
    settings = {"rel_stepsize": 0.2, "steps": 6, "random_start": False}
    model = foolbox_model.foolbox_model(net)
    results = [
        attack(model, x, y, epsilons=[0.01, EPSILON])
        for attack in (foolbox_model.CompiledLinfPGD(**settings), foolbox.attacks.LinfPGD(**settings))
    ]
    for ours, theirs in zip(*results, strict=True):
        for array, other in zip(ours, theirs, strict=True):
            numpy.testing.assert_allclose(numpy.asarray(array, float), numpy.asarray(other, float), atol=1e-6)
    targets = foolbox.criteria.TargetedMisclassification(keras.ops.convert_to_tensor((images[1] + 1) % 4, LABELS))
    targeted = foolbox_model.CompiledLinfPGD(**settings)(model, x, targets, epsilons=EPSILON)[0]
    assert numpy.abs(numpy.asarray(targeted) - images[0]).max() <= EPSILON + 1e-6


def tensors(net, images):
    return [keras.ops.convert_to_tensor(part, dtype) for part, dtype in zip(images, ("float32", LABELS), strict=True)]


SETTINGS = {"rel_stepsize": 0.2, "steps": 6, "random_start": False}


@pytest.mark.parametrize("bounds", [(0, 255), (-1, 1)])
def test_compiled_pgd_in_other_bounds_is_foolbox_s(bounds, net, images):
    low, high = bounds
    x, y = tensors(net, images)
    model = foolbox_model.foolbox_model(net).transform_bounds(bounds)
    x = low + (high - low) * x
    ours, theirs = (
        attack(model, x, y, epsilons=EPSILON * (high - low))[0]
        for attack in (foolbox_model.CompiledLinfPGD(**SETTINGS), foolbox.attacks.LinfPGD(**SETTINGS))
    )
    numpy.testing.assert_array_equal(numpy.asarray(ours), numpy.asarray(theirs))
    assert numpy.abs(numpy.asarray(ours) - numpy.asarray(x)).max() > 0.9 * EPSILON * (high - low)


def test_compiled_pgd_takes_no_option_that_foolbox_does_not(net, images):
    x, y = tensors(net, images)
    model = foolbox_model.foolbox_model(net)
    for attack in (foolbox_model.CompiledLinfPGD(**SETTINGS), foolbox.attacks.LinfPGD(**SETTINGS)):
        with pytest.raises(TypeError, match="early_stop"):
            attack.run(model, x, foolbox.Misclassification(y), epsilon=EPSILON, early_stop=True)


class OwnLoss:
    """Ascends the logit of the second class, whatever the label."""

    def get_loss_fn(self, model, labels):
        return lambda inputs: model(inputs)[:, 1].sum()


class OwnStep:
    def get_optimizer(self, x, stepsize):
        return lambda gradient: 0.5 * stepsize * gradient


class OwnProjection:
    def project(self, x, x0, epsilon):
        return x0 + 0.5 * (x - x0)


@pytest.mark.parametrize("own", [OwnLoss, OwnStep, OwnProjection])
def test_a_subclass_of_compiled_pgd_runs_its_own_methods(own, net, images):
    x, y = tensors(net, images)
    model = foolbox_model.foolbox_model(net)
    compiled, plain = (
        type("Own", (own, base), {})(**SETTINGS) for base in (foolbox_model.CompiledLinfPGD, foolbox.attacks.LinfPGD)
    )
    ours, theirs = (
        numpy.asarray(attack.run(model, x, foolbox.Misclassification(y), epsilon=EPSILON))
        for attack in (compiled, plain)
    )
    numpy.testing.assert_array_equal(ours, theirs)
    standard = foolbox_model.CompiledLinfPGD(**SETTINGS).run(model, x, foolbox.Misclassification(y), epsilon=EPSILON)
    assert (ours != numpy.asarray(standard)).any()
    patched = foolbox_model.CompiledLinfPGD(**SETTINGS)
    for name in vars(own):
        if not name.startswith("__"):
            setattr(patched, name, getattr(own(), name))
    again = patched.run(model, x, foolbox.Misclassification(y), epsilon=EPSILON)
    numpy.testing.assert_array_equal(numpy.asarray(again), theirs)


def test_bytes_are_images_too(net, images):
    x = (255 * images[0]).round().astype("uint8")
    attacked, expected = (
        foolbox_model.run(foolbox.attacks.FGSM(random_start=False), net, pixels, images[1], epsilon=0.05)
        for pixels in (x, x / numpy.float32(255))
    )
    numpy.testing.assert_array_equal(attacked, expected)


@pytest.mark.parametrize(
    "attack",
    [
        foolbox.attacks.LinfBasicIterativeAttack(rel_stepsize=0.2, steps=5),
        foolbox.attacks.L2FMNAttack(steps=10),
        foolbox.attacks.LInfFMNAttack(steps=20),
        foolbox.attacks.DDNAttack(steps=20),
    ],
    ids=lambda attack: type(attack).__name__,
)
def test_any_foolbox_attack_runs_on_a_keras_model(attack, net, images):
    x = images[0]
    labels = search.classes(net, x)
    fixed = isinstance(attack, foolbox.attacks.LinfBasicIterativeAttack)
    fooled = foolbox_model.run(attack, net, x, labels, batch_size=5, **({"epsilon": 0.5} if fixed else {}))
    assert fooled.shape == x.shape and fooled.dtype == numpy.float32
    assert (search.classes(net, fooled) != labels).mean() > 0.7


@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("candidates", [3, 10])  # of four classes
def test_deepfool_is_foolbox_deepfool(norm, candidates, net, images):
    x = images[0]
    labels = search.classes(net, x).astype(numpy.int32)
    theirs = {"l2": foolbox.attacks.L2DeepFoolAttack, "linf": foolbox.attacks.LinfDeepFoolAttack}[norm]
    attack = attacks.DeepFool(norm=norm, steps=20, overshoot=0.02, candidates=candidates)
    theirs = foolbox_model.run(theirs(steps=20, overshoot=0.02, candidates=candidates), net, x, labels)
    ours, success = attack.closest(net, x, labels, batch_size=5)
    numpy.testing.assert_allclose(ours, theirs, atol=1e-6)
    assert success.all()


@pytest.mark.parametrize("epsilon", [1, 4])
def test_bim_is_foolbox_bim_for_images_that_withstand_it(epsilon, net, images):
    x = images[0]
    labels = search.classes(net, x).astype(numpy.int32)
    theirs = foolbox.attacks.L1BasicIterativeAttack(rel_stepsize=1 / 6, steps=10, random_start=False)
    theirs = foolbox_model.run(theirs, net, x, labels, epsilon=epsilon)
    ours = attacks.BIM().within(net, x, labels, epsilon=epsilon)
    robust = search.classes(net, ours) == labels
    assert 0 < robust.sum() < len(x)
    numpy.testing.assert_allclose(ours[robust], theirs[robust], atol=1e-6)


@pytest.mark.parametrize(
    "settings",
    [
        {"stepsize": 0.05},  # ends early, whether it has found one or not
        {"stepsize": 0.05, "confidence": 0.05, "abort_early": False},
    ],
    ids=["early", "confident"],
)
def test_cw_is_foolbox_cw_for_one_image_at_a_time(settings, net, images):
    x = images[0][:2]
    labels = search.classes(net, x).astype(numpy.int32)
    settings = {"binary_search_steps": 2, "steps": 12, "initial_const": 2} | settings
    theirs = foolbox_model.run(foolbox.attacks.L2CarliniWagnerAttack(**settings), net, x, labels, batch_size=1)
    ours, success = attacks.CW(**settings).closest(net, x, labels)
    failed = (theirs == 0).all(axis=(1, 2, 3))
    numpy.testing.assert_array_equal(success, ~failed)
    numpy.testing.assert_allclose(ours, numpy.where(failed[:, None, None, None], x, theirs), atol=1e-5)
    assert success.any()


def test_cw_in_one_call_equals_cw_in_steps(net, images, monkeypatch):
    x = images[0]
    labels = search.classes(net, x).astype(numpy.int32)
    attack = attacks.CW(stepsize=0.05, steps=12, initial_const=2, binary_search_steps=2)
    results = []
    for one_call in (False, True):
        monkeypatch.setattr(compute, "ON_ACCELERATOR", one_call)
        results.append(attack.closest(net, x, labels))
    (steps, success), (whole, success_too) = results
    # Adam divides a gradient by its own size: rounding, which differs between the two graphs, grows with every step.
    assert numpy.isclose(steps, whole, rtol=1e-2, atol=1e-3).mean() > 0.95
    numpy.testing.assert_array_equal(success, success_too)
    assert success.any()
