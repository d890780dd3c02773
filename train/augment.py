"""Random shift and flip of a batch of images, as a pure function of a NumPy generator."""

import numpy


def augment(images, generator, *, flip, shift, fill):
    """Flip half of the images left to right and shift each by up to `shift` of its height and width.

    images: (N, H, W, C), any dtype, not changed; generator: numpy.random.Generator. Shifts are whole pixels,
    where Keras 2's ImageDataGenerator interpolated [D]. fill: "constant" (zeros) or "nearest".
    """
    count, height, width, _ = images.shape
    rows = _shifted(generator, count, height, shift)
    columns = _shifted(generator, count, width, shift)
    if flip:
        columns = numpy.where(generator.random(count)[:, None] < 0.5, columns[:, ::-1], columns)
    moved = images[
        numpy.arange(count)[:, None, None],
        rows.clip(0, height - 1)[:, :, None],
        columns.clip(0, width - 1)[:, None, :],
    ]
    if fill == "constant":
        outside = ((rows < 0) | (rows >= height))[:, :, None] | ((columns < 0) | (columns >= width))[:, None, :]
        moved[outside] = 0
    elif fill != "nearest":
        raise ValueError(f"fill is {fill!r}; expected 'constant' or 'nearest'")
    return moved


def _shifted(generator, count, size, shift):
    most = round(shift * size)
    return numpy.arange(size) - generator.integers(-most, most + 1, count)[:, None]
