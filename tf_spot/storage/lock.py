"""Let one process at a time write a folder in steps."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from tf_spot.errors import UserError
from tf_spot.storage.files import make_folder, remove_empty

LOCK = ".lock"  # in the folder


@contextlib.contextmanager
def sole_writer(path: str | Path, work: str, name: str = LOCK, output: Path | None = None) -> Iterator[None]:
    """Hold the lock of a folder, which is made if need be, and removed again if nothing is left in it.

    The system releases the lock when the process ends, however it ends.

    Args:
        path: the folder.
        work: what is done, for the message: "training".
        name: of the lock, where several kinds of work may share the folder.
        output: what is written, for the message; None: the folder.

    Raises:
        UserError: another process holds the lock, or `path` is a file.
    """
    folder = Path(path)
    if folder.exists() and not folder.is_dir():
        raise UserError(f"--out must be a folder; received: {folder}, a file")
    made = make_folder(folder)
    try:
        descriptor = _held(folder / name, work, output or folder)
        try:
            yield
        finally:
            (folder / name).unlink(missing_ok=True)
            os.close(descriptor)
    finally:
        remove_empty(made)


def _held(path: Path, work: str, output: Path) -> int:
    """Return the descriptor of the lock's file, locked."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The holder before removes the file: a lock on what was removed meanwhile locks nothing.
            if _same(path, descriptor):
                return descriptor
        except BlockingIOError as error:
            os.close(descriptor)
            raise UserError(
                f"only one {work} at a time may write its output; received: {output}, which another {work} is writing; "
                "wait for it, stop it, or give another --out"
            ) from error
        os.close(descriptor)


def _same(path: Path, descriptor: int) -> bool:
    """True if the path still leads to the open file."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False
