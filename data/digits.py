"""Scikit-learn's bundled handwritten digits, enlarged from 8x8 to 28x28: real images without a download.

Source: Alpaydin and Kaynak, Optical Recognition of Handwritten Digits, UCI 1998 (1,797 images, values 0..16).
They have no official split: a fixed stratified fifth is the test part [D]. A writer may have digits in both
parts, so test accuracy is slightly too high.
"""

import numpy

from data import dataset, stratify

SPLIT_SEED = 0


def enlarge(images: numpy.ndarray) -> numpy.ndarray:
    """Bilinear 8x8 -> 28x28, values 0..16 -> 0..255: integers (N, 8, 8) to uint8 (N, 28, 28).

    The scale is 2/7, so every weight is a whole number of fourteenths. The result is computed in integers and rounded
    half up: the same pixels on every machine.
    """
    weights = numpy.zeros((28, 8), numpy.int64)
    for row in range(28):
        position = min(max(4 * row - 5, 0), 14 * 7)  # fourteenths; pixel centres aligned, edges held
        low, part = divmod(position, 14)
        weights[row, low] += 14 - part
        weights[row, min(low + 1, 7)] += part
    sums = weights @ numpy.asarray(images, numpy.int64) @ weights.T
    scale = 16 * 14 * 14
    return ((2 * 255 * sums + scale) // (2 * scale)).astype(numpy.uint8)


def read(paths: dict | None = None) -> tuple:
    """The digits: ``(x_train, y_train, x_test, y_test)``, images (N, 28, 28, 1). `paths` is ignored."""
    import sklearn.datasets  # takes a second to import, and is needed only here

    bundled = sklearn.datasets.load_digits()
    images, labels = dataset.check(
        enlarge(bundled.images)[..., numpy.newaxis],
        bundled.target,
        shape=(28, 28, 1),
        classes=10,
        where="scikit-learn's digits",
    )
    train, test = stratify.stratify(labels, (4, 5), SPLIT_SEED)
    return images[train], labels[train], images[test], labels[test]
