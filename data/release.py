"""A release archive: a zip of files with a manifest of their SHA-256, written whole and compared when it is read.

with release.writing("release.zip", facts) as add:
    add("cifar10-alexnet@0.25/seed0/dare.keras", path)
with release.reading("release.zip") as opened:
    opened.facts, opened.names, opened.content("cifar10-alexnet@0.25/seed0/dare.keras")
"""

import contextlib
import dataclasses
import hashlib
import json
import pathlib
import zipfile
from collections.abc import Callable, Iterator

from data import damage, download, files, sources

KIND = "release of trained nets"
MANIFEST = "manifest.json"
MEMBERS = 20_000  # most files of an archive
MEND = "fetch it again"


@dataclasses.dataclass(frozen=True)
class Release:
    """An open archive. path: of the file; facts: as given to `writing`; digests: name -> SHA-256."""

    path: pathlib.Path
    facts: dict
    digests: dict
    _archive: zipfile.ZipFile = dataclasses.field(repr=False)

    @property
    def names(self) -> list[str]:
        """The names of all files, in their order."""
        return list(self.digests)

    def content(self, name: str) -> bytes:
        """The bytes of a file. Raises ValueError if it is missing or not as in the manifest."""
        if name not in self.digests:
            raise ValueError(
                f"{self.path}: holds no {name}, expected one of the {len(self.digests)} files that it lists"
            )
        with damage.named(self.path, "not a whole release", MEND):
            content = self._archive.read(name)
            if hashlib.sha256(content).hexdigest() != self.digests[name]:
                raise ValueError(f"{name} is not as its manifest says")
        return content

    def extract(self, name: str, folder: pathlib.Path) -> pathlib.Path:
        """Write a file into `folder`, under the last part of its name. Returns the path. Errors as `content`."""
        path = pathlib.Path(folder) / pathlib.PurePosixPath(name).name
        path.write_bytes(self.content(name))
        return path


@contextlib.contextmanager
def writing(path: str | pathlib.Path, facts: dict) -> Iterator[Callable]:
    """Write a release: yields add(name, content), content bytes or the path of a file. The archive appears whole.

    path: of the archive; facts: JSON values of its manifest. Raises ValueError for a name given twice.
    """
    digests = {}
    with files.atomic(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:

        def add(name: str, content: bytes | pathlib.Path):
            if name in digests:
                raise ValueError(f"{path}: {name} is given twice")
            content = content if isinstance(content, bytes) else content.read_bytes()
            digests[name] = hashlib.sha256(content).hexdigest()
            archive.writestr(_member(name), content, zipfile.ZIP_DEFLATED)

        yield add
        manifest = {"kind": KIND, "facts": facts, "files": digests}
        archive.writestr(_member(MANIFEST), json.dumps(manifest, indent=1, ensure_ascii=False, allow_nan=False))


def _member(name):
    """A member without the time of day: the same files give the same archive."""
    return zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))


@contextlib.contextmanager
def reading(where: str | pathlib.Path) -> Iterator[Release]:
    """Open a release: yields Release.

    where: path, or address (http, https): it is downloaded into the cache of data files once.
    Raises FileNotFoundError; ValueError for a file that is cut, no release, or announces more than its size allows.
    """
    path = fetched(where)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such release; scripts/pack.py writes one")
    with contextlib.ExitStack() as opened:
        with damage.named(path, "not a whole release", MEND):
            archive = opened.enter_context(zipfile.ZipFile(path))
            release = _whole(path, archive)
        yield release


def _whole(path, archive):
    """The Release in an open archive. Raises for a manifest that is none, or lists other files than are there."""
    listed = archive.infolist()
    if len(listed) > MEMBERS:
        raise ValueError(f"it has {len(listed)} files, expected at most {MEMBERS}")
    damage.check_size(path, sum(member.file_size for member in listed))
    manifest = json.loads(archive.read(MANIFEST))
    if not isinstance(manifest, dict) or manifest.get("kind") != KIND:
        raise ValueError(f"its {MANIFEST} is not that of a release")
    facts, digests = manifest.get("facts"), manifest.get("files")
    texts = isinstance(digests, dict) and all(isinstance(value, str) for value in digests.values())
    if not (texts and isinstance(facts, dict)):
        raise ValueError(f"its {MANIFEST} lists no files")
    held = [member.filename for member in listed if member.filename != MANIFEST]
    if sorted(held) != sorted(digests):
        raise ValueError(f"it holds {len(held)} files, its {MANIFEST} lists {len(digests)} others")
    return Release(path, facts, digests, archive)


def fetched(where: str | pathlib.Path) -> pathlib.Path:
    """The path of a release; an address is downloaded into the cache first, unless it was before."""
    if not str(where).startswith(("http://", "https://")):
        return files.expanded(where)
    address = str(where)
    name = pathlib.PurePosixPath(address.partition("?")[0]).name or "release.zip"
    path = sources.cache() / "releases" / hashlib.sha256(address.encode()).hexdigest()[:16] / name
    if not path.is_file():
        download.download(address, path, md5=None)
    return path
