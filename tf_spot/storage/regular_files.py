"""Open files that come from outside, and nothing that only looks like one.

Reading a FIFO waits for a writer, a device may have no end, and a link may lead to either.
"""

from __future__ import annotations

import errno
import os
import stat
from io import BufferedReader
from pathlib import Path

_KINDS = {
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a folder",
}


def open_regular(path: str | Path) -> BufferedReader:
    """Open a regular file, or a link to one, for reading.

    Raises:
        OSError: it is something else, missing, or may not be read.
    """
    _check(os.stat(path).st_mode, path)  # before opening: to open a device may already do something
    # Without waiting, should a FIFO have taken the file's place meanwhile.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        _check(os.fstat(descriptor).st_mode, path)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def is_regular(path: str | bytes | Path) -> bool:
    """True for a regular file and for a link to one."""
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except OSError:
        return False


def _check(mode: int, path: str | Path) -> None:
    kind = stat.S_IFMT(mode)
    if kind != stat.S_IFREG:
        raise OSError(errno.EINVAL, f"not a regular file but {_KINDS.get(kind, 'something else')}", str(path))
