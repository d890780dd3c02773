"""A user's own images: one directory a class, named ``folder:<path>`` or ``folder:<path>@<height>x<width>``.

Either ``<path>/train/<class>/`` and ``<path>/test/<class>/`` (or Train and Test), or ``<path>/<class>/``, of which a
fixed stratified fifth becomes the test part [D]. Such a division puts near-duplicates, such as frames of one video,
into both parts: give them a train and a test directory instead.
"""

import collections
import functools
import math
import os
import pathlib
import re
import warnings
from collections.abc import Sequence

import numpy

from data import damage, dataset, files, stratify

ENDINGS = (".png", ".jpg", ".jpeg", ".ppm", ".pgm", ".bmp", ".webp", ".tif", ".tiff")
GREY = ("1", "L", "LA")
COLOUR = ("RGB", "RGBA", "P", "PA", "CMYK", "YCbCr")
FORMATS = ("PNG", "JPEG", "PPM", "BMP", "WEBP", "TIFF")  # by content; some other formats of Pillow start programs
PIXELS = 1 << 26  # most pixels of an image
SPLIT_SEED = 0


def parse(text: str) -> tuple[pathlib.Path, tuple[int, int] | None]:
    """``"<path>@<height>x<width>"`` as (Path, (height, width)).

    The size is None where the text has none, or where a folder has this whole name.
    Raises ValueError for an empty path, a size of no pixels or more than PIXELS, and a name that cannot be printed.
    """
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


def label(text: str) -> str:
    """The name of a data set ``folder:<text>``, however its path is written: ``folder-<directory>[@<H>x<W>]``."""
    path, size = parse(text)
    return f"folder-{path.resolve().name}" + (f"@{size[0]}x{size[1]}" if size else "")


def digest(text: str) -> str:
    """SHA-256 of the images in the folder of ``folder:<text>``: their names below it, and their content.

    Raises FileNotFoundError if the folder is missing.
    """
    path, _ = parse(text)
    if not path.is_dir():
        raise FileNotFoundError(f"{path}: no such folder; expected one directory a class below it")
    images = [(file, file.stat()) for file in sorted(path.rglob("*")) if _is_image(file)]
    return _digest(path, tuple((file, facts.st_size, facts.st_mtime_ns) for file, facts in images))


@functools.lru_cache(maxsize=8)
def _digest(path, facts):
    """The digest of files, read once a process unless sizes or times change. facts: (file, size, time) of each."""
    return files.fingerprint_json({file.relative_to(path).as_posix(): files.digest(file) for file, *_ in facts})


def _check_name(path):
    """Raise ValueError for a name with line breaks or other characters that cannot be printed."""
    if not files.printable(path.name):
        raise ValueError(f"{str(path)!r}: its name holds characters that cannot be printed: rename the folder")


def _directories(path):
    """The class folders in a folder, sorted by name."""
    directories = sorted(entry for entry in path.iterdir() if entry.is_dir() and not _is_hidden(entry))
    for directory in directories:
        _check_name(directory)
    return directories


def _is_hidden(path):
    """Whether a file or folder is none of the user's: hidden, or of macOS's archives."""
    return path.name.startswith(".") or path.name == "__MACOSX"


def _is_image(path):
    return path.suffix.lower() in ENDINGS and not _is_hidden(path) and path.is_file()


def _parts(path):
    """The folders of the training and of the test images; [] where the class folders lie directly in `path`."""
    parts = {}
    for directory in _directories(path):
        part = directory.name.lower()
        if part in ("train", "test") and _directories(directory):
            if part in parts:
                raise ValueError(f"{path}: has both {parts[part].name} and {directory.name}: keep one of them")
            parts[part] = directory
    if len(parts) == 1:
        (part,) = parts
        missing = {"train": "test", "test": "train"}[part]
        raise ValueError(
            f"{path}: has {part}/<class> but no {missing}/<class>: add it, or put the classes directly "
            "below the folder to have them divided"
        )
    return [parts[part] for part in ("train", "test") if parts]


def left_out(path: str | pathlib.Path) -> dict[str, int]:
    """reason, in words -> number of files in a folder that `read` ignores for it."""
    path = pathlib.Path(path)
    roots, reasons = _parts(path) or [path], collections.Counter()
    for directory, _, names in os.walk(path):
        place = pathlib.Path(directory)
        for file in (place / name for name in names):
            *above, _ = file.relative_to(path).parts
            if any(_is_hidden(pathlib.Path(part)) for part in (*above, file.name)):
                reasons["hidden"] += 1
            elif place.parent not in roots:
                inside = any(root in place.parents for root in roots)
                outside = f"in {'/'.join(above)}/, which is no class" if above else "beside the classes"
                reasons["in folders inside a class" if inside else outside] += 1
            elif not _is_image(file):
                reasons[f"{file.suffix.lower() or 'without an ending'}"] += 1
    return dict(reasons)


def read_image(path: pathlib.Path, size: tuple[int, int] | None = None) -> numpy.ndarray:
    """One image as uint8: (H, W, 1) if it is greyscale, else (H, W, 3).

    size: (H, W) to resize to, bilinearly (None: as it is).
    The image is turned as its EXIF orientation says. Transparency is dropped; of a stereo JPEG (MPO) the first picture
    is read.
    Raises ValueError, naming the file, if it cannot be decoded, is of none of FORMATS, has several frames, more than
    PIXELS pixels, or more than eight bits a channel.
    """
    import PIL.Image  # needed for image folders only
    import PIL.ImageOps

    with damage.named(path, "not a readable image", "mend or remove it"), warnings.catch_warnings():
        warnings.simplefilter("error", PIL.Image.DecompressionBombWarning)
        with PIL.Image.open(path, formats=FORMATS) as image:
            if image.mode not in GREY + COLOUR or _is_deep(image):
                raise ValueError(f"pixel mode {image.mode} or 16 bits a channel, expected 8-bit greyscale or colour")
            if getattr(image, "n_frames", 1) > 1 and image.format != "MPO":
                raise ValueError(f"{image.n_frames} frames, expected one")
            if math.prod(image.size) > PIXELS:
                raise ValueError(f"{image.width}x{image.height} pixels, expected at most {PIXELS} of them")
            image = PIL.ImageOps.exif_transpose(image)
            image = image.convert("L" if image.mode in GREY else "RGB")
            if size is not None and image.size != size[::-1]:
                image = image.resize(size[::-1], PIL.Image.Resampling.BILINEAR)
            pixels = numpy.asarray(image)
    return pixels.reshape(*pixels.shape[:2], -1)


def _is_deep(image):
    """Whether an open image has more than eight bits a channel, which Pillow may cut to eight without warning."""
    stored = [args if isinstance(args, tuple) else (args,) for *_, args in image.tile]
    return any(
        ";16" in str(mode) or (image.format == "PPM" and parameters and parameters[0] > 255)
        for mode, *parameters in stored
    )


def _same_size(path, image, paths, images):
    """Raise ValueError where an image has another size than the first of `images`."""
    if images and image.shape[:2] != images[0].shape[:2]:
        height, width, *_ = images[0].shape
        raise ValueError(
            f"{path}: {image.shape[0]}x{image.shape[1]} pixels, but {paths[0]} has {height}x{width}: "
            "give one size for all, as in folder:<path>@32x32"
        )


def read_part(
    root: pathlib.Path, classes: Sequence[str], size: tuple[int, int] | None
) -> tuple[list, numpy.ndarray, list]:
    """All images in the folders ``root/<class>``: (list of arrays, labels (N,) int64, list of paths).

    classes: the names of the folders; size: as of `read_image`.
    """
    images, labels, paths = [], [], []
    for label, name in enumerate(classes):
        folder = root / name
        of_class = sorted(path for path in folder.iterdir() if _is_image(path))
        if not of_class:
            raise ValueError(f"{folder}: no image ({', '.join(ENDINGS)}): every class needs at least one")
        for path in of_class:
            image = read_image(path, size)
            _same_size(path, image, paths, images)
            images.append(image)
            labels.append(label)
            paths.append(path)
    return images, numpy.array(labels, numpy.int64), paths


def stack(images: list, channels: int) -> numpy.ndarray:
    """One array (N, H, W, channels): greyscale images among coloured ones get three equal channels [D]."""
    shape = (*images[0].shape[:2], channels)
    return numpy.stack([numpy.broadcast_to(image, shape) for image in images])


def read_unlabelled(
    path: str | pathlib.Path, *, size: tuple[int, int] | None = None, channels: int
) -> tuple[numpy.ndarray, list[str]]:
    """All images below a folder, in folders or not: (uint8 (N, H, W, channels), file names relative to it, sorted).

    size: (H, W) to resize to (None: images as they are, which must be of one size).
    channels: 3, or 1 for images that are all greyscale.
    Raises FileNotFoundError if the folder is missing, and ValueError for no image, an unreadable image, images of
    several sizes, and a coloured image where 1 channel is expected.
    """
    path = pathlib.Path(path)
    if not path.is_dir():
        raise FileNotFoundError(f"{path}: no such folder; expected one with images below it")
    image_files = sorted(file for file in path.rglob("*") if _is_image(file))
    paths = [
        file for file in image_files if not any(_is_hidden(parent) for parent in file.relative_to(path).parents[:-1])
    ]
    images = []
    if not paths:
        raise ValueError(f"{path}: no image ({', '.join(ENDINGS)}), expected at least one")
    for file in paths:
        image = read_image(file, size)
        _same_size(file, image, paths, images)
        if image.shape[2] > channels:
            raise ValueError(f"{file}: a coloured image, expected {channels} channel: save it in grey")
        images.append(image)
    return stack(images, channels), [file.relative_to(path).as_posix() for file in paths]


def read(path: str | pathlib.Path, *, size: tuple[int, int] | None = None) -> tuple[tuple, tuple]:
    """Read a folder: ``((x_train, y_train, x_test, y_test, further), classes)``.

    Classes are the sorted directory names. `further` has files_train and files_test of Dataset, relative to `path`.
    Other files are ignored (see `left_out`). C is 1 if all images are greyscale, else 3.
    size: (H, W) to resize to (None: images as they are, which must be of one size).
    Raises FileNotFoundError if the folder is missing, and ValueError for fewer than two classes, an empty class, an
    unreadable image, images of several sizes, a train directory without test or the reverse, and classes that differ
    between them.
    """
    # Folders and classes.
    path = pathlib.Path(path)
    if not path.is_dir():
        raise FileNotFoundError(f"{path}: no such folder; expected one directory a class below it")
    roots = _parts(path) or [path]
    classes = [directory.name for directory in _directories(roots[0])]
    if len(classes) < 2:
        raise ValueError(f"{roots[0]}: {len(classes)} class directories, expected at least two")
    for root in roots[1:]:
        differing = set(classes) ^ {directory.name for directory in _directories(root)}
        if differing:
            raise ValueError(f"{path}: {', '.join(sorted(differing))} is a class in only one of train and test")

    # Images, all of one size.
    read_parts = [read_part(root, classes, size) for root in roots]
    first = read_parts[0][0][0].shape[:2]
    for images, _, paths in read_parts[1:]:
        _same_size(paths[0], images[0], read_parts[0][2], read_parts[0][0])
    channels = max(image.shape[2] for images, _, _ in read_parts for image in images)
    parts, names = [], []
    for images, labels, paths in read_parts:
        parts += dataset.check(
            stack(images, channels), labels, shape=(*first, channels), classes=len(classes), where=path
        )
        names.append(numpy.array([file.relative_to(path).as_posix() for file in paths]))

    # Without train and test directories: a fixed fifth becomes the test part.
    if len(parts) == 2:
        images, labels = parts
        counts = numpy.bincount(labels)
        if counts.min() < 2:
            raise ValueError(
                f"{path / classes[counts.argmin()]}: one image, expected at least two to divide into training and test"
            )
        train, test = stratify.stratify(labels, (4, 5), SPLIT_SEED)
        parts = [images[train], labels[train], images[test], labels[test]]
        names = [names[0][train], names[0][test]]
    return (*parts, {"files_train": names[0], "files_test": names[1]}), tuple(classes)
