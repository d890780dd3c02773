"""A user's own images: one directory a class, named ``folder:<path>`` or ``folder:<path>@<height>x<width>``.

Either ``<path>/train/<class>/`` and ``<path>/test/<class>/``, or ``<path>/<class>/``, of which a fixed
stratified fifth becomes the test part [D]. Near-duplicates, such as frames of one video, fall on both
sides of such a division: give those a train and a test directory instead.
"""

import math
import pathlib
import re
import warnings

import numpy

from data import damage, dataset, files, stratify

ENDINGS = (".png", ".jpg", ".jpeg", ".ppm", ".pgm", ".bmp")
GREY = ("1", "L", "LA")
COLOUR = ("RGB", "RGBA", "P", "PA", "CMYK", "YCbCr")
FORMATS = ("PNG", "JPEG", "PPM", "BMP", "WEBP", "TIFF")  # by their content; Pillow has others that start programs
PIXELS = 1 << 26  # of an image
SPLIT_SEED = 0


def parse(text):
    """``"<path>@<height>x<width>"`` as (Path, (height, width)); without the size, or where a folder is so called, as
    (Path, None). Raises ValueError for no path, a size of no pixels or more than PIXELS, and a name that `_check_name`
    refuses."""
    path, height, width = re.fullmatch(r"(.*?)(?:@(\d{1,9})x(\d{1,9}))?", text, re.DOTALL | re.ASCII).groups()
    if height is not None and files.expanded(text).is_dir():
        path, height = text, None
    size = None if height is None else (int(height), int(width))
    if not path or (size and not 0 < math.prod(size) <= PIXELS):
        raise ValueError(
            f"folder:{text} names no folder, expected folder:<path> or folder:<path>@<height>x<width> of at most "
            f"{PIXELS} pixels"
        )
    path = files.expanded(path)
    _check_name(path)
    return path, size


def _check_name(path):
    """Raise ValueError for a name with line breaks or other characters that change the text around them."""
    if not files.printable(path.name):
        raise ValueError(f"{str(path)!r}: its name holds characters that cannot be printed: rename the folder")


def _directories(path):
    """The folders of the classes below a folder, sorted by name."""
    found = sorted(entry for entry in path.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    for entry in found:
        _check_name(entry)
    return found


def read_image(path, size=None):
    """Decode one image to uint8 (H, W, 1) if it is greyscale, else (H, W, 3); `size` (H, W) resizes it.

    Resizing is bilinear; transparency is dropped; of a stereo JPEG (MPO) the first picture is taken. Raises ValueError,
    naming the file, if it cannot be decoded, is of none of FORMATS, has several frames, more than PIXELS pixels, or
    more than eight bits a channel.
    """
    import PIL.Image  # needed for image folders alone

    with damage.named(path, "not a readable image", "mend or remove it"), warnings.catch_warnings():
        warnings.simplefilter("error", PIL.Image.DecompressionBombWarning)
        with PIL.Image.open(path, formats=FORMATS) as image:
            if image.mode not in GREY + COLOUR or _is_deep(image):
                raise ValueError(f"pixel mode {image.mode} or 16 bits a channel, expected 8-bit greyscale or colour")
            if getattr(image, "n_frames", 1) > 1 and image.format != "MPO":
                raise ValueError(f"{image.n_frames} frames, expected one")
            if math.prod(image.size) > PIXELS:
                raise ValueError(f"{image.width}x{image.height} pixels, expected at most {PIXELS} of them")
            image = image.convert("L" if image.mode in GREY else "RGB")
            if size is not None and image.size != size[::-1]:
                image = image.resize(size[::-1], PIL.Image.Resampling.BILINEAR)
            pixels = numpy.asarray(image)
    return pixels.reshape(*pixels.shape[:2], -1)


def _is_deep(image):
    """Whether an open image is stored in more than eight bits a channel, which Pillow may cut to eight unsaid."""
    stored = [args if isinstance(args, tuple) else (args,) for *_, args in image.tile]
    return any(";16" in str(mode) or (image.format == "PPM" and rest and rest[0] > 255) for mode, *rest in stored)


def _same_size(path, image, paths, images):
    if images and image.shape[:2] != images[0].shape[:2]:
        height, width, *_ = images[0].shape
        raise ValueError(
            f"{path}: {image.shape[0]}x{image.shape[1]} pixels, but {paths[0]} has {height}x{width}: "
            "give one size for all, as in folder:<path>@32x32"
        )


def read_part(root, classes, size):
    """All images below ``root/<class>``: (list of arrays, labels (N,) int64, list of paths)."""
    images, labels, paths = [], [], []
    for label, name in enumerate(classes):
        found = sorted(path for path in (root / name).iterdir() if path.suffix.lower() in ENDINGS and path.is_file())
        if not found:
            raise ValueError(f"{root / name}: no image ({', '.join(ENDINGS)}): every class needs at least one")
        for path in found:
            image = read_image(path, size)
            _same_size(path, image, paths, images)
            images.append(image)
            labels.append(label)
            paths.append(path)
    return images, numpy.array(labels, numpy.int64), paths


def stack(images, channels):
    """(N, H, W, channels): greyscale images among coloured ones get three equal channels [D]."""
    shape = (*images[0].shape[:2], channels)
    return numpy.stack([numpy.broadcast_to(image, shape) for image in images])


def read(path, *, size=None):
    """Read a folder: ``((x_train, y_train, x_test, y_test, further), classes)``; classes are directory names, sorted.

    further: the images' files below `path`, as Dataset has them. Files with other endings are passed over. If every
    image is greyscale, C is 1, else 3. Raises FileNotFoundError if the folder is missing, and ValueError for fewer
    than two classes, an empty class, an unreadable image, differing sizes without `size`, a train or test directory
    without the other, or classes that differ between them.
    """
    path = pathlib.Path(path)
    if not path.is_dir():
        raise FileNotFoundError(f"{path}: no such folder; expected one directory a class below it")
    nested = [name for name in ("train", "test") if (path / name).is_dir() and _directories(path / name)]
    if len(nested) == 1:
        other = {"train": "test", "test": "train"}[nested[0]]
        raise ValueError(
            f"{path}: has {nested[0]}/<class> but no {other}/<class>: add it, or put the classes directly "
            "below the folder to have them divided"
        )
    roots = [path / name for name in nested] or [path]
    classes = [directory.name for directory in _directories(roots[0])]
    if len(classes) < 2:
        raise ValueError(f"{roots[0]}: {len(classes)} class directories, expected at least two")
    for root in roots[1:]:
        differing = set(classes) ^ {directory.name for directory in _directories(root)}
        if differing:
            raise ValueError(f"{path}: {', '.join(sorted(differing))} is a class in only one of train and test")
    read_parts = [read_part(root, classes, size) for root in roots]
    first = read_parts[0][0][0].shape[:2]
    for images, _, paths in read_parts[1:]:
        _same_size(paths[0], images[0], read_parts[0][2], read_parts[0][0])
    channels = max(image.shape[2] for images, _, _ in read_parts for image in images)
    parts, named = [], []
    for images, labels, paths in read_parts:
        parts += dataset.check(
            stack(images, channels), labels, shape=(*first, channels), classes=len(classes), where=path
        )
        named.append(numpy.array([one.relative_to(path).as_posix() for one in paths]))
    if len(parts) == 2:
        images, labels = parts
        counts = numpy.bincount(labels)
        if counts.min() < 2:
            raise ValueError(
                f"{path / classes[counts.argmin()]}: one image, expected at least two to divide into training and test"
            )
        train, test = stratify.stratify(labels, (4, 5), SPLIT_SEED)
        parts = [images[train], labels[train], images[test], labels[test]]
        named = [named[0][train], named[0][test]]
    return (*parts, {"files_train": named[0], "files_test": named[1]}), tuple(classes)
