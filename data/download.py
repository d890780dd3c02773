"""Download of one file: whole and with the published digest, or not at all."""

import hashlib
import http.client
import pathlib
import urllib.error
import urllib.request
from collections.abc import Callable

from data import files

BLOCK = 1 << 18  # bytes read at a time
TIMEOUT = 60  # seconds without a byte


def download(url: str, path: str | pathlib.Path, *, md5: str | None, progress: Callable | None = None) -> None:
    """Download `url` to `path`, which appears only once the file is whole and has the published MD5.

    md5: None for a file that checks itself.
    progress: called as progress(path, done, total) in bytes; total is None where the server does not send it.
    Raises FileNotFoundError if the address cannot be reached, and ValueError if another file arrived.
    """
    total_digest, done = hashlib.md5(usedforsecurity=False), 0
    with files.atomic(path) as temporary, open(temporary, "wb") as stream:
        try:
            response = urllib.request.urlopen(url, timeout=TIMEOUT)
        except (urllib.error.URLError, OSError, http.client.HTTPException) as error:
            raise _unreachable(url, path, error) from error
        with response:
            length = response.headers.get("Content-Length")
            total = int(length) if length and length.isdigit() else None
            while True:
                try:
                    block = response.read(BLOCK)
                except (OSError, http.client.HTTPException) as error:
                    raise _unreachable(url, path, error) from error
                if not block:
                    break
                stream.write(block)
                total_digest.update(block)
                done += len(block)
                if progress is not None:
                    progress(path, done, total)
        if length and length.isdigit() and done != int(length):
            raise ValueError(f"{url}: {done} of {length} bytes came: the download was cut, so try again")
        if md5 is not None and total_digest.hexdigest() != md5:
            raise ValueError(
                f"{url}: {done} bytes came with MD5 {total_digest.hexdigest()}, expected {md5}: the download "
                f"was cut or the address serves something else, so try again or fetch it by hand to {path}"
            )


def _unreachable(url, path, error):
    """The FileNotFoundError of an address that cannot be reached."""
    reason = getattr(error, "reason", None) or error
    return FileNotFoundError(
        f"{url}: cannot be downloaded ({reason}): fetch it elsewhere to {path}, or name the "
        "folder that has it with --data-dir"
    )
