"""Files of a published tar.gz, read in memory: nothing is unpacked to disk. Also the check of a zip's size."""

import gzip
import os
import pathlib
import tarfile
import zipfile
from collections.abc import Iterable

from data import damage

MEMBERS = 1000  # of a tar or zip; a published archive has about ten


class _Forward(gzip.GzipFile):
    """A gzip stream that only moves forwards, and unpacks at most the bytes that damage.most allows its file.

    The header of a hostile tar may announce any size, and an offset before its own.
    """

    def __init__(self, path):
        super().__init__(path, "rb")
        self.most = damage.most(os.path.getsize(path))

    def _check(self, offset):
        if not self.tell() <= offset <= self.most:
            raise ValueError(f"it announces byte {offset}, expected at most {self.most} in an archive of this size")

    def read(self, size=-1):
        self._check(self.tell() + size)
        return super().read(size)

    def seek(self, offset, whence=0):
        if whence == os.SEEK_SET:  # tell() seeks too, relative to the current place
            self._check(offset)
        return super().seek(offset, whence)


def read(path: str | pathlib.Path, folder: str, names: Iterable[str]) -> dict[str, bytes]:
    """name -> bytes of the files `names` in `folder` of the archive.

    Raises ValueError if the archive is cut, announces more bytes than its size allows, lacks a file, or has a member
    with an absolute path, a path with "..", or of another kind than plain files and folders.
    """
    paths = {f"{folder}/{name}": name for name in names}
    contents = {}
    with damage.named(path, "not a whole tar.gz archive", "fetch it again"):
        with _Forward(path) as stream, tarfile.open(fileobj=stream, mode="r:") as archive:
            for count, member in enumerate(archive):
                parts = pathlib.PurePosixPath(member.name.replace("\\", "/")).parts
                plain = (member.isreg() and not member.issparse()) or member.isdir()
                if not plain or ".." in parts or parts[:1] == ("/",):
                    raise ValueError(
                        f"{path}: member {member.name[:80]!r} is a link or leaves the archive's folder: "
                        "not the published archive, do not use it"
                    )
                if count == MEMBERS:
                    raise ValueError(f"it has more than {MEMBERS} members")
                if member.isreg() and member.name in paths:
                    contents[paths[member.name]] = archive.extractfile(member).read()
            while stream.read(1 << 20):  # to the end, where gzip's own checksum stands
                pass
    missing = sorted(set(names) - set(contents))
    if missing:
        raise ValueError(f"{path}: lacks {', '.join(missing)} in {folder}/: is this the right archive?")
    return contents


def check_zip(path: str | pathlib.Path, members: Iterable[str] | None = None) -> None:
    """Raise ValueError where a zip has too many members, more bytes than its size allows, or unexpected members.

    members: the expected names (None: any). Raises zipfile.BadZipFile where the file is no zip.
    """
    with zipfile.ZipFile(path) as archive:
        listed = archive.infolist()
    if len(listed) > MEMBERS:
        raise ValueError(f"it has {len(listed)} members, expected at most {MEMBERS}")
    unexpected = [member.filename for member in listed if members is not None and member.filename not in members]
    if unexpected:
        raise ValueError(f"it holds {unexpected[0][:80]!r}, expected only {', '.join(members)}")
    damage.check_size(path, sum(member.file_size for member in listed))
