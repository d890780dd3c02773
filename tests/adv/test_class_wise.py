"""Flags by class, confusion, and predicted classes under attack, against plain loops."""

import numpy
import pytest
import scipy.stats

from adv import attacks, evaluate, search


def test_class_wise_equals_a_loop():
    generator = numpy.random.default_rng(0)
    labels, flags = generator.integers(0, 5, 200), generator.random(200) < 0.6
    accuracy = evaluate.class_wise(flags, labels, classes=5)
    shares = []
    for label in range(5):
        own = flags[labels == label]
        assert (accuracy.correct[label], accuracy.total[label]) == (own.sum(), len(own))
        interval = scipy.stats.binomtest(int(own.sum()), len(own)).proportion_ci(method="wilson")
        numpy.testing.assert_allclose(accuracy.interval[:, label], [interval.low, interval.high])
        shares.append(own.mean())
    numpy.testing.assert_allclose(accuracy.share, shares)
    assert accuracy.worst == numpy.argmin(shares) and accuracy.mean == pytest.approx(numpy.mean(shares))
    assert accuracy.std == pytest.approx(numpy.std(shares)) and accuracy.spread == pytest.approx(
        max(shares) - min(shares)
    )


def test_confusion_equals_a_loop():
    generator = numpy.random.default_rng(1)
    labels, predicted = generator.integers(0, 4, 60), generator.integers(0, 4, 60)
    expected = numpy.zeros((4, 4), int)
    for label, class_ in zip(labels, predicted, strict=True):
        expected[label, class_] += 1
    numpy.testing.assert_array_equal(evaluate.confusion(predicted, labels, classes=4), expected)


@pytest.mark.parametrize(
    ("flags", "labels", "classes", "words"),
    [
        ([True], [0], 1, "1 classes, expected at least two"),
        ([True, True], [0, 2], 3, "no image of class 1 of 3"),
        ([True, True], [0, 3], 3, "labels range from 0 to 3, expected 0 to 2"),
        ([True], [0, 1], 2, r"bool \(2,\), one a label"),
        ([1, 0], [0, 1], 2, "flags are int64"),
        ([True, True], [0.0, 1.0], 2, "expected integers"),
    ],
)
def test_what_cannot_be_divided_by_class(flags, labels, classes, words):
    with pytest.raises(ValueError, match=words):
        evaluate.class_wise(numpy.array(flags), numpy.array(labels), classes=classes)


def test_predictions_of_other_images():
    with pytest.raises(ValueError, match="3 predictions and 2 labels"):
        evaluate.confusion(numpy.array([0, 1, 0]), numpy.array([0, 1]), classes=2)


def test_the_classes_named_under_attack(net, images):
    x, y = images
    clean = evaluate.classes(net, x, y)
    numpy.testing.assert_array_equal(clean == y, evaluate.correct(net, x, y))
    attack = attacks.get("pgd-20")
    predicted = evaluate.attacked_classes(net, x, y, attack, epsilon=0.05, before=clean)
    numpy.testing.assert_array_equal(predicted == y, evaluate.robust_flags(net, x, y, attack, epsilon=0.05))
    numpy.testing.assert_array_equal(predicted[clean != y], clean[clean != y])
    rows = numpy.flatnonzero(clean == y)
    attacked = attack.within(net, x[rows], y[rows].astype("int32"), epsilon=0.05)
    numpy.testing.assert_array_equal(predicted[rows], search.classes(net, attacked))
    with pytest.raises(ValueError, match=r"the classes before are int32 of shape \(3,\)"):
        evaluate.attacked_classes(net, x, y, attack, epsilon=0.05, before=clean[:3])
