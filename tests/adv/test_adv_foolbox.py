"""Our FGSM and PGD against foolbox's own at a fixed epsilon, and foolbox's attacks on a Keras model."""

import dataclasses

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
        for one, other in zip(ours, theirs, strict=True):
            numpy.testing.assert_allclose(numpy.asarray(one, float), numpy.asarray(other, float), atol=1e-6)
    targets = foolbox.criteria.TargetedMisclassification(keras.ops.convert_to_tensor((images[1] + 1) % 4, LABELS))
    targeted = foolbox_model.CompiledLinfPGD(**settings)(model, x, targets, epsilons=EPSILON)[0]
    assert numpy.abs(numpy.asarray(targeted) - images[0]).max() <= EPSILON + 1e-6


@pytest.mark.parametrize(
    "attack",
    [
        foolbox.attacks.L2CarliniWagnerAttack(binary_search_steps=2, steps=20, stepsize=0.05, initial_const=1),
        foolbox.attacks.LinfBasicIterativeAttack(rel_stepsize=0.2, steps=5),
        foolbox.attacks.L2FMNAttack(steps=20),
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


def test_deepfool_goes_on_where_a_tenth_of_the_steps_fails(net, images):
    x = images[0]
    labels = search.classes(net, x).astype(numpy.int32)
    whole = foolbox_model.run(foolbox_model.deepfool("l2", steps=30, overshoot=0.0), net, x, labels)
    candidates, _ = attacks.DeepFool(steps=30, overshoot=0.0).closest(net, x, labels, batch_size=5)
    numpy.testing.assert_allclose(candidates, whole, atol=1e-6)


@pytest.mark.parametrize("name", attacks.ATTACKS)
def test_every_entry_says_what_it_is(name):
    attack = attacks.get(name)
    assert attack.title and attack.citation and attack.norm in ("l1", "l2", "linf")
    specification = attack.specification()
    assert specification["norm"] == attack.norm
    assert set(dataclasses.asdict(attack)) <= set(specification)
    assert hash(attack) == hash(dataclasses.replace(attack))
