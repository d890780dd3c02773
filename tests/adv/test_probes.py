"""Several attacks in turn: which are restarted, and which images are correct under all."""

import numpy
import pytest

from adv import attacks, evaluate, probes, search


def test_attacks_that_draw_random_numbers_are_restarted():
    chosen = probes.probes(["fgsm", "pgd", "pgd-restarts"], steps=7, restarts=3)
    assert [type(attack).__name__ for attack in chosen] == ["FGSM", "PGD", "PGD", "PGD", "PGD"]
    assert [attack.seed for attack in chosen[2:]] == [0, 1, 2] and chosen[1] == attacks.PGD(steps=7)
    assert all(attack.random_start and attack.steps == 7 and attack.rel_stepsize == 0.1 for attack in chosen[2:])
    assert probes.probes(["apgd-ce"], restarts=2)[1] == attacks.APGD(loss="ce", seed=1)


def test_another_norm_is_refused():
    with pytest.raises(ValueError, match="attack deepfool measures l2, but the balls are linf"):
        probes.probes(["fgsm", "deepfool"])


def test_those_who_withstand_all_are_the_worst_case_of_each_alone(net, images):
    x, y = images[0], search.classes(net, images[0])
    y[3] = (y[3] + 1) % 4
    attempts = probes.probes(["fgsm", "pgd-restarts"], steps=5, restarts=2)
    alone = [evaluate.robust_flags(net, x, y, attack, epsilon=0.03) for attack in attempts]
    flags = probes.withstood(net, x, y, attempts, epsilon=0.03)
    numpy.testing.assert_array_equal(flags, numpy.all(alone, axis=0))
    assert 0 < flags.sum() < len(x) and not flags[3]
    numpy.testing.assert_array_equal(probes.withstood(net, x, y, [], epsilon=0.03), evaluate.correct(net, x, y))
