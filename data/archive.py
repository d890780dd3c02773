"""Files out of a published tar.gz, read in memory: nothing is unpacked to disk."""

import gzip
import pathlib
import tarfile
import zlib


def read(path, folder, names):
    """The bytes of `names`, which lie in `folder` of the archive: name -> bytes.

    Raises ValueError if the archive is cut, lacks a file, or holds a member with an absolute or climbing path or
    anything but plain files and folders.
    """
    wanted = {f"{folder}/{name}": name for name in names}
    contents = {}
    try:
        with gzip.open(path, "rb") as stream, tarfile.open(fileobj=stream, mode="r:") as archive:
            for member in archive:
                parts = pathlib.PurePosixPath(member.name.replace("\\", "/")).parts
                if not (member.isreg() or member.isdir()) or ".." in parts or parts[:1] == ("/",):
                    raise ValueError(
                        f"{path}: member {member.name!r} is a link or leaves the archive's folder: "
                        "not the published archive, do not use it"
                    )
                if member.isreg() and member.name in wanted:
                    contents[wanted[member.name]] = archive.extractfile(member).read()
            while stream.read(1 << 20):  # to the end, where gzip's own checksum stands
                pass
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path}: not a whole tar.gz archive ({error}): fetch it again") from error
    missing = sorted(set(names) - set(contents))
    if missing:
        raise ValueError(f"{path}: lacks {', '.join(missing)} in {folder}/: is this the right archive?")
    return contents
