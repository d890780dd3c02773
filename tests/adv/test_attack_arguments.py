"""Arguments of attacks that would make every model robust, or fail late: refused in one sentence."""

import foolbox
import numpy
import pytest

from adv import attacks, autoattack, checks, evaluate, reachable, search
from adv.guided import robot
from models import compute

FGSM = attacks.FGSM()
NAN = float("nan")


@pytest.mark.parametrize(
    ("kind", "name", "values"),
    [
        ("PGD", "steps", (0, -1, 1.5, "3", None)),
        ("PGD", "rel_stepsize", (0, -0.1, NAN, float("inf"), "a")),
        ("PGD", "restarts", (1.5,)),
        ("PGD", "seed", (None, 1.5)),
        ("PGD", "epsilon", (0, -1, NAN)),
        ("PGD", "growth", (0.5, NAN)),
        ("PGD", "growths", (0, 2.5)),
        ("PGD", "bisections", (-1, 1.5)),
        ("BIM", "steps", (0,)),
        ("TemperaturePGD", "steps", (0,)),
        ("TemperaturePGD", "temperature", ("a", NAN)),
        ("APGD", "growths", (0,)),
        ("APGD", "rho", ("a", NAN, -1)),
        ("Square", "growths", (0,)),
        ("Square", "p", ("a", 0, 2, NAN)),
        ("FAB", "overshoot", (NAN, 0.5)),
        ("FAB", "back", ("a", 0, 2, NAN)),
        ("FGSM", "epsilons", (0, 10.0)),
        ("FGSM", "fine", (0,)),
        ("CW", "steps", (0, 2.5)),
        ("CW", "binary_search_steps", (0,)),
        ("CW", "stepsize", (0, NAN)),
        ("CW", "initial_const", (0, -1)),
        ("CW", "confidence", (-1, NAN)),
        ("DeepFool", "steps", (0,)),
        ("DeepFool", "overshoot", (-1, NAN)),
        ("DeepFool", "candidates", (2.5,)),
        ("JSMA", "steps", (0,)),
        ("JSMA", "theta", (0, NAN, -0.1)),
        ("JSMA", "repeats", (0,)),
    ],
)
def test_an_attack_that_cannot_move_is_refused(kind, name, values):
    """Without steps or of size 0 it would return the images, and call every model robust."""
    for value in values:
        with pytest.raises(ValueError, match=f"{name} is .*{value}.*, expected"):
            getattr(attacks, kind)(**{name: value})


@pytest.mark.parametrize("epsilon", [8, 1.5, -1, float("nan"), "8/255"])
def test_a_size_that_no_pixel_has_is_refused_before_anything_is_predicted(epsilon, net, images, monkeypatch):
    monkeypatch.setattr(compute, "predict", None)
    for call in (
        lambda: evaluate.robust_flags(net, *images, FGSM, epsilon=epsilon),
        lambda: evaluate.robust_flags(net, *images, "pgd-7", epsilon=epsilon),
        lambda: checks.check(net, *images, epsilon=epsilon),
        lambda: checks.transferable(net, *images, epsilon=epsilon),
        lambda: robot.attack(net, *images, "pgd", epsilon=epsilon, seed=0),
        lambda: reachable.reachable(net, *images, epsilon=epsilon),
    ):
        with pytest.raises(ValueError, match=f"epsilon is {epsilon!r}, expected"):
            call()


def test_what_is_no_attack_is_refused_before_anything_is_predicted(net, images, monkeypatch):
    monkeypatch.setattr(compute, "predict", None)
    whole = autoattack.AutoAttack()  # has no `closest`
    for attack, sentence in (
        (None, "of type NoneType"),
        (attacks.PGD, "the class PGD"),
        (foolbox.attacks.LinfPGD(), "of type Linf"),
    ):
        for call in (
            lambda attack=attack: evaluate.robust_flags(net, *images, attack, epsilon=0.1),
            lambda attack=attack: evaluate.attacked_classes(net, *images, attack, epsilon=0.1, before=images[1]),
            lambda attack=attack: evaluate.distances(net, *images, attack),
            lambda attack=attack: search.minimal(net, *images, attack),
        ):
            with pytest.raises(ValueError, match=f"the attack is {sentence}.*an object with the method"):
                call()
    for call in (evaluate.distances, search.minimal):
        with pytest.raises(ValueError, match="of type AutoAttack, expected .* the method 'closest'"):
            call(net, *images, whole)


def test_classes_before_are_classes(net, images):
    """Flags would be taken for the classes 0 and 1, and the images of all other classes for misclassified ones."""
    x, y = images
    for before in (evaluate.correct(net, x, y), y.astype(float), numpy.eye(4, dtype=int)[y], y[:-1]):
        with pytest.raises(ValueError, match=r"the classes before are .*, expected integers \(14,\)"):
            evaluate.attacked_classes(net, x, y, FGSM, epsilon=0.1, before=before)


@pytest.mark.parametrize("epsilon", [8 / 255, 3.5])
def test_a_radius_in_l0_counts_values(epsilon, net, images):
    with pytest.raises(ValueError, match="in l0, expected a whole number"):
        evaluate.robust_flags(net, *images, "jsma", epsilon=epsilon)


def test_settings_of_attacks_that_are_no_objects(net, images):
    with pytest.raises(ValueError, match="attack is 'bim', expected one of fgsm, pgd"):
        robot.attack(net, *images, "bim", epsilon=0.1, seed=0)
    for settings, sentence in (({"steps": 0}, "steps is 0"), ({"rel_stepsize": float("nan")}, "rel_stepsize is nan")):
        with pytest.raises(ValueError, match=f"{sentence}, expected"):
            reachable.reachable(net, *images, epsilon=0.1, **settings)
    for factor in (float("nan"), "2"):
        with pytest.raises(ValueError, match="factor is .*, expected a finite number"):
            evaluate.push(images[0], images[0], factor)
