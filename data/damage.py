"""Damaged or hostile files: an error of one sentence that names the file, and no more memory than its size justifies.

The size that a file announces is compared with its size on the disk before memory is allocated: published images are
compressed to a fifth at best, decompression bombs to a thousandth.
"""

import contextlib
import errno
import os
import pathlib
from collections.abc import Iterator

LONGEST = 300  # characters of another package's message that are shown
OF_THE_FILE = (errno.EINVAL, errno.EOVERFLOW, errno.EFBIG)  # system errors that a wrong offset in a file can cause
SLACK = 1 << 26  # bytes that any file may unpack to
RATIO = 10  # and beyond that, times its own size


@contextlib.contextmanager
def named(path: str | pathlib.Path, what: str = "damaged", mend: str = "delete it and make it again") -> Iterator[None]:
    """Turn any error of reading `path` into a ValueError, "<path>: <what> (<reason>): <mend>".

    Used as ``with named(path): ...``. what, mend: words of the message.
    An error of the system stays an OSError, and a ValueError that begins with the path stays as it is.
    """
    try:
        yield
    except Exception as error:  # decoders raise nearly any exception for a damaged file
        if isinstance(error, ValueError) and str(error).startswith(f"{path}: "):
            raise
        raise environment(error, path) or ValueError(f"{path}: {what} ({reason(error)}): {mend}") from error


def reason(error: Exception | str) -> str:
    """The message of an exception, or a text, in one short line."""
    if isinstance(error, MemoryError):
        return "reading it takes more memory than there is"
    if isinstance(error, RecursionError):
        return "its parts are nested too deeply"
    if isinstance(error, KeyError):
        return f"there is no {error}"
    message = " ".join(str(error).split()) or type(error).__name__
    return message if len(message) <= LONGEST else message[:LONGEST] + "..."


def environment(error: Exception, path: str | pathlib.Path) -> OSError | None:
    """An OSError with the name `path` where the cause is the system (a lock, permissions, a failing disk).

    None where the cause is the content of the file.
    """
    if isinstance(error, OSError) and error.errno is not None and error.errno not in OF_THE_FILE:
        return OSError(error.errno, os.strerror(error.errno), str(path))
    return None


def content(path: str | pathlib.Path, limit: int) -> bytes:
    """The bytes of a file of at most `limit` bytes. Raises ValueError for a larger file, before reading it."""
    size = os.path.getsize(path)
    if size > limit:
        raise ValueError(f"{path}: has {size} bytes, expected at most {limit}: is this the right file?")
    with open(path, "rb") as stream:
        return stream.read(limit)


def most(stored: int) -> int:
    """The most bytes that a file of `stored` bytes may unpack to."""
    return SLACK + RATIO * stored


def check_size(path: str | pathlib.Path, announced: int) -> None:
    """Raise ValueError where the file at `path` announces more bytes than its size allows (`most`)."""
    allowed = most(os.path.getsize(path))
    if announced > allowed:
        raise ValueError(
            f"{path}: announces {announced} bytes, expected at most {allowed} in a file of this size: fetch it again"
        )
