"""Arrays in files whose room on the disk is taken before they are filled."""

from __future__ import annotations

import errno
import math
import os
import shutil
from pathlib import Path

import numpy as np

from tf_spot.errors import NO_SPACE, NoSpace

_NOT_OFFERED = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)  # by this file system
_VALUE_BYTES = 4


def reserved_array(path: Path, shape: tuple[int, ...], what: str, advice: str) -> np.ndarray:
    """Return a new file of zeros that is used like an array; memory holds only what is in use.

    A file that takes its blocks as it is written would end the process (SIGBUS) when the disk is full. Where the system
    cannot reserve them, only the free space is looked at.

    Args:
        path: of the file, in a folder that exists.
        shape: of the array.
        what: is kept in it, for the message.
        advice: what to do besides setting TMPDIR, for the message.

    Returns:
        float32 of that shape.

    Raises:
        NoSpace: the disk lacks space for the file, which is not left behind.
    """
    size, folder = _VALUE_BYTES * math.prod(shape), path.parent
    if size > shutil.disk_usage(folder).free:  # to try would fill the disk for a moment
        raise _no_space(folder, size, what, advice)
    with path.open("wb") as file:
        try:
            file.truncate(size)
            _reserve(file.fileno(), size)
        except OSError as error:
            path.unlink()
            if error.errno in NO_SPACE:
                raise _no_space(folder, size, what, advice) from error
            raise
    return np.memmap(path, np.float32, "r+", shape=shape)


def _reserve(descriptor: int, size: int) -> None:
    """Take the blocks of a file, where system and file system can."""
    if not hasattr(os, "posix_fallocate"):  # macOS
        return
    try:
        os.posix_fallocate(descriptor, 0, size)
    except OSError as error:
        if error.errno not in _NOT_OFFERED:
            raise


def _no_space(folder: Path, size: int, what: str, advice: str) -> NoSpace:
    free = shutil.disk_usage(folder).free
    return NoSpace(
        f"{what} needs {size / 1e9:.1f} GB in {folder}; free: {free / 1e9:.1f} GB; set TMPDIR to a folder with more "
        f"room, or {advice}"
    )
