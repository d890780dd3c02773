"""What a damaged or hostile file costs: one sentence that names it, and no more memory than its own size justifies.

What a file announces is compared with its size before anything is allocated for it: published images shrink to a fifth
at best, bombs by a thousand.
"""

import contextlib
import errno
import os

LONGEST = 300  # characters of another package's message that are passed on
OF_THE_FILE = (errno.EINVAL, errno.EOVERFLOW, errno.EFBIG)  # what the system says of places that a damaged file names
SLACK = 1 << 26  # bytes that any file may unpack to
RATIO = 10  # and beyond that, times its own size


@contextlib.contextmanager
def named(path, what="damaged", mend="delete it and make it again"):
    """Turn whatever reading `path` raises into one ValueError, "<path>: <what> (<reason>): <mend>".

    An error of the system stays an OSError, and a ValueError that begins with the path stays as it is.
    """
    try:
        yield
    except Exception as error:  # decoders meet damage with nearly any exception
        if isinstance(error, ValueError) and str(error).startswith(f"{path}: "):
            raise
        raise environment(error, path) or ValueError(f"{path}: {what} ({reason(error)}): {mend}") from error


def reason(error):
    """What an exception, or a text, says in one short line."""
    if isinstance(error, MemoryError):
        return "reading it takes more memory than there is"
    if isinstance(error, RecursionError):
        return "its parts are nested too deeply"
    if isinstance(error, KeyError):
        return f"there is no {error}"
    said = " ".join(str(error).split()) or type(error).__name__
    return said if len(said) <= LONGEST else said[:LONGEST] + "..."


def environment(error, path):
    """The OSError to raise, naming `path`, where an error is the system's answer (a lock, permissions, a failing disk)
    and says nothing of the file; None where it does."""
    if isinstance(error, OSError) and error.errno is not None and error.errno not in OF_THE_FILE:
        return OSError(error.errno, os.strerror(error.errno), str(path))
    return None


def content(path, limit):
    """The bytes of a file of at most `limit` bytes. Raises ValueError, before it is read, for a larger one."""
    size = os.path.getsize(path)
    if size > limit:
        raise ValueError(f"{path}: has {size} bytes, expected at most {limit}: is this the right file?")
    with open(path, "rb") as stream:
        return stream.read(limit)


def most(stored):
    """The bytes that a file of `stored` bytes may unpack to."""
    return SLACK + RATIO * stored


def check_size(path, announced):
    """Raise ValueError where a file announces more bytes than one of its size holds."""
    allowed = most(os.path.getsize(path))
    if announced > allowed:
        raise ValueError(
            f"{path}: announces {announced} bytes, expected at most {allowed} in a file of this size: fetch it again"
        )
