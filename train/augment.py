"""Random shift and flip of a batch of images, as a pure function of a NumPy generator."""

import numpy


def augment(
    images: numpy.ndarray, generator: numpy.random.Generator, *, flip: bool, shift: float, fill: str
) -> numpy.ndarray:
    """Randomly flip images left to right and shift them: a new array of the same shape.

    images: (N, H, W, C), any dtype.
    generator: numpy.random.Generator.
    flip: flip each image with probability 1/2.
    shift: largest shift, as a fraction of height and width; in whole pixels (Keras 2's ImageDataGenerator: interpolated
        [D]).
    fill: uncovered pixels, "constant" (zeros) or "nearest".
    Raises ValueError for another fill.
    """
    count, height, width, _ = images.shape
    rows = _shifted(generator, count, height, shift)
    columns = _shifted(generator, count, width, shift)
    if flip:
        columns = numpy.where(generator.random(count)[:, None] < 0.5, columns[:, ::-1], columns)
    augmented = images[
        numpy.arange(count)[:, None, None],
        rows.clip(0, height - 1)[:, :, None],
        columns.clip(0, width - 1)[:, None, :],
    ]
    if fill == "constant":
        outside = ((rows < 0) | (rows >= height))[:, :, None] | ((columns < 0) | (columns >= width))[:, None, :]
        augmented[outside] = 0
    elif fill != "nearest":
        raise ValueError(f"fill is {fill!r}; expected 'constant' or 'nearest'")
    return augmented


def _shifted(generator, count, size, shift):
    most = round(shift * size)
    return numpy.arange(size) - generator.integers(-most, most + 1, count)[:, None]
