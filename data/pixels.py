"""The pixel scale of the models, [0, 1] in float32, and the statistics their first layer uses."""

import dataclasses
from typing import Any

import numpy

BLOCK = 1024  # images converted to float64 at a time
ROUNDING = 1e-6  # floats may exceed [0, 1] by this much, by the rounding of another package; they are clipped


@dataclasses.dataclass(frozen=True, eq=False)
class Statistics:
    """Pixel statistics in [0, 1] scale, all float32.

    mean_image: mean of each pixel (H, W, C).
    channel_mean, channel_std: over images and positions (C,); standard deviation of the population, 0 for a constant
        channel.
    """

    mean_image: numpy.ndarray
    channel_mean: numpy.ndarray
    channel_std: numpy.ndarray


def to_unit(x: numpy.ndarray) -> numpy.ndarray:
    """Pixels in [0, 1] as float32: uint8 divided by 255, or floats in [0, 1]. Such a float32 array is not copied.

    Raises ValueError for any other dtype, and for floats outside [0, 1] or NaN.
    """
    x = numpy.asarray(x)
    if x.dtype == numpy.uint8:
        return numpy.divide(x, numpy.float32(255), dtype=numpy.float32)
    low, high = check(x)
    unit = x.astype(numpy.float32, copy=False)
    return unit if low >= 0 and high <= 1 else unit.clip(0, 1)


def check(x: Any) -> tuple:
    """(smallest, largest) pixel; nan for arrays on the disk, which are not read.

    x: a NumPy array, or one on the disk, such as an HDF5 data set.
    Raises ValueError for pixels that `to_unit` does not admit.
    """
    if x.dtype == numpy.uint8:
        return 0, 255
    if x.dtype.kind != "f":
        raise ValueError(f"pixels are {x.dtype}, expected uint8 in 0..255 or floats in [0, 1]")
    if not x.size:
        return 0, 1
    if not isinstance(x, numpy.ndarray):
        return numpy.nan, numpy.nan
    low, high = x.min(), x.max()
    if not (low >= -ROUNDING and high <= 1 + ROUNDING):
        raise ValueError(
            f"pixels range from {low:.9g} to {high:.9g}, expected [0, 1]: divide by 255 or pass the uint8 images"
        )
    return low, high


def statistics(x: numpy.ndarray) -> Statistics:
    """Mean image, channel mean and channel standard deviation.

    x: images (N, H, W, C), uint8 or floats in [0, 1].
    The models' statistics are of x_train only, while the released code of DARE also used the test set [D]. Sums are
    float64, over blocks of images. Raises ValueError for another shape, no image, and as `to_unit`.
    """
    x = numpy.asarray(x)
    if x.ndim != 4 or 0 in x.shape:
        raise ValueError(f"images have shape {x.shape}, expected (N, H, W, C) with at least one image")
    blocks = [slice(start, start + BLOCK) for start in range(0, len(x), BLOCK)]
    total = numpy.zeros(x.shape[1:], numpy.float64)
    for block in blocks:
        total += to_unit(x[block]).sum(axis=0, dtype=numpy.float64)
    mean_image = total / len(x)
    channel_mean = mean_image.mean(axis=(0, 1))
    squares = numpy.zeros(x.shape[-1], numpy.float64)
    for block in blocks:
        squares += numpy.square(to_unit(x[block]) - channel_mean).sum(axis=(0, 1, 2))
    channel_std = numpy.sqrt(squares / (x.size // x.shape[-1]))
    return Statistics(*(value.astype(numpy.float32) for value in (mean_image, channel_mean, channel_std)))
