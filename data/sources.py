"""Where a data set's published files lie on this machine, and whether they are the published ones.

Order: the folder given, else ``$DARE_DATA``, else Keras's cache, else a download into that cache. A
folder that was named is never topped up behind its owner's back.
"""

import dataclasses
import os
import pathlib

from data import download, files, tracks

VARIABLE = "DARE_DATA"
LARGEST = 1 << 32  # bytes of a published file; the largest, the archive of STL-10, has two thirds of it


@dataclasses.dataclass(frozen=True)
class File:
    """A published file: its name, its published MD5, and its address (None: not fetched singly)."""

    name: str
    md5: str
    url: str | None = None


@dataclasses.dataclass(frozen=True)
class Sources:
    """The files of a data set: alternatives of equal content, each a tuple of File, preferred first.

    `folders` are the subfolders searched before the folder itself; the first is where a download goes.
    """

    folders: tuple
    alternatives: tuple


def cache():
    """Keras's data cache, ``$KERAS_HOME/datasets`` or ``~/.keras/datasets``, without importing Keras."""
    home = os.environ.get("KERAS_HOME") or pathlib.Path.home() / ".keras"
    return pathlib.Path(home) / "datasets"


def search(sources, root):
    """Look below `root` for a complete alternative: ``(paths by name or None, the Files, incomplete finds)``.

    An incomplete find is ``(folder, names missing)``; only a complete one gives paths.
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
    if incomplete:
        folder, missing = incomplete[0]
        found = f"{folder} lacks {', '.join(missing)}"
    else:
        found = "found none of the data set's files"
    expected = " or ".join(", ".join(file.name for file in alternative) for alternative in sources.alternatives)
    return FileNotFoundError(
        f"{root} ({origin}): {found}; expected {expected}, there or in its subfolder "
        f"{' or '.join(sources.folders)}: put them there, or leave {origin} unset to have them downloaded"
    )


def fetch(sources, root, progress=None):
    """Download the alternative that has addresses into `root`'s first subfolder: paths by name.

    A file that is already there with the published digest is kept. Errors as `data.download.download`.
    """
    folder = root / sources.folders[0]
    alternative = next(files_ for files_ in sources.alternatives if all(file.url for file in files_))
    paths = {file.name: folder / file.name for file in alternative}
    for file in alternative:
        path = paths[file.name]
        if not (path.is_file() and files.digest(path, "md5") == file.md5):
            download.download(file.url, path, md5=file.md5, progress=progress)
    return paths


def locate(sources, data_dir=None, *, unverified=False, progress=None):
    """Find the files and compare their digests: ``(paths by name, whether all are the published ones)``.

    Raises FileNotFoundError if a named folder lacks them or they cannot be downloaded, and ValueError for
    a file with another digest than the published one, unless `unverified` admits it.
    """
    given = data_dir if data_dir is not None else os.environ.get(VARIABLE) or None
    origin = "--data-dir" if data_dir is not None else f"${VARIABLE}"
    root = cache() if given is None else files.expanded(given)
    paths, alternative, incomplete = search(sources, root)
    if paths is None and given is not None:
        raise _absent(sources, root, origin, incomplete)
    if paths is None:
        return fetch(sources, root, progress), True
    for file in alternative:
        size = paths[file.name].stat().st_size
        if size > LARGEST:
            raise ValueError(f"{paths[file.name]}: has {size} bytes, expected at most {LARGEST}: fetch it again")
        found = files.digest(paths[file.name], "md5")
        if found != file.md5:
            if unverified:
                return paths, False
            raise ValueError(
                f"{paths[file.name]}: MD5 is {found}, expected the published {file.md5}: the file is cut or "
                "another one, so fetch it again, or admit your own with --unverified"
            )
    return paths, True


def locate_folder(name, entry, data_dir=None, *, unverified=False):
    """The folder of a data set of images in a directory a class; places as in `locate`, but nothing is downloaded.

    entry: its catalogue entry. Raises FileNotFoundError where it is not there, naming where to get it, and ValueError
    unless `unverified` admits it, since single images have no published digest.
    """
    given = data_dir if data_dir is not None else os.environ.get(VARIABLE) or None
    root = cache() if given is None else files.expanded(given)
    path = tracks.find(root, entry.folders, entry.classes)
    if path is None:
        raise FileNotFoundError(
            f"{root}: no folder of {name} with the directories {entry.classes[0]} to {entry.classes[-1]}: get the "
            f"images from {entry.homepage} into {root / entry.folders[0]}, or name their folder with --data-dir"
        )
    if not unverified:
        raise ValueError(f"{path}: single images of {name} have no published digest: admit them with --unverified")
    return path
