"""Find the published files of a data set on this machine, and check their digests.

Order: the folder of the caller, else ``$DARE_DATA``, else Keras's cache, else a download into that cache. Nothing is
downloaded into a folder that the user named.
"""

from __future__ import annotations  # its types load no library (pipeline/late.py)

import dataclasses
import os
import pathlib
import typing
from collections.abc import Callable

from data import download, files, tracks

if typing.TYPE_CHECKING:
    from data.catalogue import Entry

VARIABLE = "DARE_DATA"
LARGEST = 1 << 32  # most bytes of a published file; the largest, the archive of STL-10, has two thirds of it


@dataclasses.dataclass(frozen=True)
class File:
    """A published file: its name, its published MD5, and its address (None: not downloaded by itself)."""

    name: str
    md5: str
    url: str | None = None


@dataclasses.dataclass(frozen=True)
class Sources:
    """The files of a data set.

    folders: subfolders that are searched before the folder itself; downloads go into the first.
    alternatives: sets of files of equal content, each a tuple of File, preferred first.
    """

    folders: tuple
    alternatives: tuple


def cache() -> pathlib.Path:
    """Keras's data cache, ``$KERAS_HOME/datasets`` or ``~/.keras/datasets``, without importing Keras."""
    home = os.environ.get("KERAS_HOME") or pathlib.Path.home() / ".keras"
    return pathlib.Path(home) / "datasets"


def search(sources: Sources, root: pathlib.Path) -> tuple:
    """Look in `root` for a complete alternative: ``(name -> path, the Files, incomplete)``.

    The first is None where no alternative is complete. incomplete: ``(folder, missing names)`` of folders with some of
    the files.
    """
    incomplete = []
    for alternative in sources.alternatives:
        for folder in (*(root / name for name in sources.folders), root):
            missing = [file.name for file in alternative if not (folder / file.name).is_file()]
            if not missing:
                return {file.name: folder / file.name for file in alternative}, alternative, incomplete
            if len(missing) < len(alternative):
                incomplete.append((folder, missing))
    return None, (), incomplete


def _absent(sources, root, origin, incomplete):
    """The FileNotFoundError of a folder without the files."""
    if incomplete:
        folder, missing = incomplete[0]
        seen = f"{folder} lacks {', '.join(missing)}"
    else:
        seen = "found none of the data set's files"
    expected = " or ".join(", ".join(file.name for file in alternative) for alternative in sources.alternatives)
    return FileNotFoundError(
        f"{root} ({origin}): {seen}; expected {expected}, there or in its subfolder "
        f"{' or '.join(sources.folders)}: put them there, or leave {origin} unset to have them downloaded"
    )


def fetch(sources: Sources, root: pathlib.Path, progress: Callable | None = None) -> dict[str, pathlib.Path]:
    """Download the alternative that has addresses into the first subfolder of `root`: name -> path.

    progress: as in data.load.
    Existing files with the published digest are not downloaded again. Errors as `data.download.download`.
    """
    folder = root / sources.folders[0]
    alternative = next(option for option in sources.alternatives if all(file.url for file in option))
    paths = {file.name: folder / file.name for file in alternative}
    for file in alternative:
        path = paths[file.name]
        if not (path.is_file() and files.digest(path, "md5") == file.md5):
            download.download(file.url, path, md5=file.md5, progress=progress)
    return paths


def locate(
    sources: Sources,
    data_dir: str | pathlib.Path | None = None,
    *,
    unverified: bool = False,
    progress: Callable | None = None,
) -> tuple[dict[str, pathlib.Path], bool]:
    """Find the files and compare their digests: ``(name -> path, whether all digests are the published ones)``.

    data_dir: their folder (None: see above); unverified: admit other digests; progress: as in data.load.
    Raises FileNotFoundError if the user's folder lacks them or they cannot be downloaded, and ValueError for a file
    with another digest, unless `unverified`.
    """
    chosen_folder = _chosen_folder(data_dir)
    origin = "--data-dir" if data_dir is not None else f"${VARIABLE}"
    root = cache() if chosen_folder is None else files.expanded(chosen_folder)
    paths, alternative, incomplete = search(sources, root)
    if paths is None and chosen_folder is not None:
        raise _absent(sources, root, origin, incomplete)
    if paths is None:
        return fetch(sources, root, progress), True
    for file in alternative:
        size = paths[file.name].stat().st_size
        if size > LARGEST:
            raise ValueError(f"{paths[file.name]}: has {size} bytes, expected at most {LARGEST}: fetch it again")
        digest = files.digest(paths[file.name], "md5")
        if digest != file.md5:
            if unverified:
                return paths, False
            raise ValueError(
                f"{paths[file.name]}: MD5 is {digest}, expected the published {file.md5}: the file is cut or "
                "another one, so fetch it again, or admit your own with --unverified"
            )
    return paths, True


def locate_folder(
    name: str, entry: Entry, data_dir: str | pathlib.Path | None = None, *, unverified: bool = False
) -> pathlib.Path:
    """The folder of a data set with one directory a class. Searched for as in `locate`, but never downloaded.

    entry: its catalogue entry; data_dir: as in `locate`.
    Raises FileNotFoundError, with the address of the images, where there is no such folder, and ValueError unless
    `unverified`, since single images have no published digest.
    """
    chosen_folder = _chosen_folder(data_dir)
    root = cache() if chosen_folder is None else files.expanded(chosen_folder)
    path = tracks.find(root, entry.folders, entry.classes)
    if path is None:
        raise FileNotFoundError(
            f"{root}: no folder of {name} with the directories {entry.classes[0]} to {entry.classes[-1]}: get the "
            f"images from {entry.homepage} into {root / entry.folders[0]}, or name their folder with --data-dir"
        )
    if not unverified:
        raise ValueError(f"{path}: single images of {name} have no published digest: admit them with --unverified")
    return path


def _chosen_folder(data_dir):
    """The folder that the user named, by argument or environment variable, or None."""
    return data_dir if data_dir is not None else os.environ.get(VARIABLE) or None
