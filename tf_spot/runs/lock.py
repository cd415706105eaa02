"""Let one training at a time write a run folder."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path

from tf_spot.errors import UserError

LOCK = ".lock"  # in the run folder


@contextlib.contextmanager
def sole_writer(path: str | Path) -> Iterator[None]:
    """Hold the lock of the run folder `path`, which is made if need be.

    The system releases the lock when the process ends, however it ends.

    Raises:
        UserError: another training holds the lock, or `path` is a file.
    """
    folder = Path(path)
    if folder.exists() and not folder.is_dir():
        raise UserError(f"--out must be a folder; received: {folder}, a file")
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(
                f"only one training at a time may write a run folder; received: {folder}, which another training is "
                "writing; wait for it, stop it, or give another --out"
            ) from error
        try:
            yield
        finally:
            # No run was begun: the folder may be somebody else's, so nothing is left in it.
            if not (folder / "config.json").exists():
                (folder / LOCK).unlink()
