"""adv.guided.rank: its order is that of the metric on the model's own traces; what it refuses."""

import numpy
import pytest

from adv import guided
from adv.guided import ordering, retraining, surprise, uncertainty


def test_the_order_is_that_of_the_metric(net, images):
    x, y = images
    order, scores = guided.rank(net, x[:10], y[:10], x, metric="dsa")
    reference, reference_classes, _ = retraining.traces(net, x[:10])
    activations, classes, p = retraining.traces(net, x)
    expected = surprise.dsa(reference, reference_classes, activations, classes)
    numpy.testing.assert_array_equal(scores, expected)
    numpy.testing.assert_array_equal(order, ordering.order(expected))
    order, scores = guided.rank(net, None, None, x, "deepgini")
    numpy.testing.assert_array_equal(scores, uncertainty.deepgini(p))
    assert order.dtype == numpy.int64 and sorted(order) == list(range(len(x)))
    first, again, other = (guided.rank(net, None, None, x, "random", seed=seed)[0].tolist() for seed in (1, 1, 2))
    assert first == again != other


def test_one_image_can_be_ranked(net, images):
    order, scores = guided.rank(net, *images, images[0][:1])
    assert order.tolist() == [0]
    assert scores == pytest.approx([0], abs=1e-5), "a training image is at no distance from itself, but for rounding"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"metric": "be-st"}, "metric is 'be-st', expected one of lsa, dsa, "),
        ({"x_train": None, "y_train": None}, "dsa compares with training images, and none are given"),
        ({"y_train": numpy.full(14, 9)}, "label"),
        ({"x_new": numpy.zeros((2, 9, 9, 2), "float32")}, "images have shape"),
        ({"x_train": numpy.zeros((14, 9, 9, 2), "float32")}, "images have shape"),
    ],
)
def test_what_rank_refuses(net, images, change, words):
    arguments = {"x_train": images[0], "y_train": images[1], "x_new": images[0], **change}
    with pytest.raises(ValueError, match=words):
        guided.rank(net, **arguments)
