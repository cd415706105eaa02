"""Checkpoints: written aside and moved into place, checked by their sums when read.

step-NNNNNNNN/model.weights.h5   networks, optimizers, history
step-NNNNNNNN/state.json         where the stage stands
step-NNNNNNNN/SHA256SUMS         of both, as `sha256sum -c` reads it
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from tf_spot.errors import UserError
from tf_spot.storage.files import file_digest, flush

WEIGHTS, STATE, SUMS = "model.weights.h5", "state.json", "SHA256SUMS"
_ASIDE = ".aside-"  # being written or being removed; never read


class Checkpoint(NamedTuple):
    """One good checkpoint."""

    path: Path
    step: int
    state: dict[str, Any]

    @property
    def weights_path(self) -> str:
        return str(self.path / WEIGHTS)


def write(
    folder: Path, step: int, state: dict[str, Any], save_weights: Callable[[str], Any], keep: int, size: int = 0
) -> Path:
    """Writes a checkpoint so that a kill at any moment leaves either all of it or none, then drops the oldest.

    Args:
        folder: the stage's checkpoints.
        step: steps done.
        state: what else is needed to go on; JSON.
        save_weights: writes the model's weights to the path it is given.
        keep: newest checkpoints that stay.
        size: bytes that must be free before the writing begins; HDF5 crashes where a disk fills up under it.

    Raises:
        UserError: the disk is full; the earlier checkpoints are whole.
    """
    for left_over in folder.glob(_ASIDE + "*"):
        shutil.rmtree(left_over)
    aside = folder / f"{_ASIDE}{step}"
    try:
        aside.mkdir(parents=True)
        _reserve(aside / "room", size)
        _fill(aside, state | {"step": step}, save_weights)
    except OSError as error:
        shutil.rmtree(aside, ignore_errors=True)
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        earlier = _all(folder)
        raise UserError(
            f"a checkpoint needs {size} bytes; received: {os.strerror(error.errno)}, in {folder}, at step {step}; "
            f"newest checkpoint, which is whole: {earlier[-1] if earlier else 'none yet'}; free some space and go on "
            "with --resume"
        ) from error
    path = folder / _name(step)
    if path.exists():
        _remove(path)
    os.rename(aside, path)
    flush(folder)
    for old in _all(folder)[:-keep]:
        _remove(old)
    return path


def _fill(aside: Path, state: dict[str, Any], save_weights: Callable[[str], Any]) -> None:
    save_weights(str(aside / WEIGHTS))
    (aside / STATE).write_text(json.dumps(state, indent=2) + "\n", encoding="utf-8")
    (aside / SUMS).write_text(
        "".join(f"{file_digest(aside / name)}  {name}\n" for name in (WEIGHTS, STATE)), encoding="utf-8"
    )
    for name in (WEIGHTS, STATE, SUMS):
        flush(aside / name)
    flush(aside)


def _reserve(path: Path, size: int) -> None:
    """Raises the `OSError` of a full disk, a quota or a limit unless `size` bytes fit; leaves no file."""
    if size:
        with path.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, size)
        path.unlink()


def thrown_away(save: Callable[[Path], Any], name: str) -> None:
    """Lets `save` write a file of that name and throws it away.

    Workers keep sums, such as an epoch's means, in parts. Reading one for a file takes all of them, so all must save,
    though one of the files is enough.
    """
    with tempfile.TemporaryDirectory() as folder:
        save(Path(folder) / name)


def newest_good(folder: Path) -> tuple[Checkpoint | None, list[str]]:
    """The newest checkpoint whose sums agree, and what is wrong with each newer one.

    Returns:
        the checkpoint, None where none was ever written; and one text for each damaged checkpoint that was passed over.

    Raises:
        UserError: there are checkpoints and every one is damaged.
    """
    damaged: list[str] = []
    for path in reversed(_all(folder)):
        reason = _damage(path)
        if reason is None:
            state = json.loads((path / STATE).read_text(encoding="utf-8"))
            return Checkpoint(path, state["step"], state), damaged
        damaged.append(f"{path}: {reason}")
    if damaged:
        raise UserError(f"no checkpoint in {folder} is whole: {'; '.join(damaged)}; to train anew give another --out")
    return None, []


def drop_after(folder: Path, step: int) -> None:
    """Removes the checkpoints later than `step`: damaged ones, passed over."""
    for path in _all(folder):
        if path.name > _name(step):
            _remove(path)


def _name(step: int) -> str:
    return f"step-{step:08d}"


def _all(folder: Path) -> list[Path]:
    return sorted(folder.glob("step-*"))


def _remove(path: Path) -> None:
    """Renamed first, so that a kill in between leaves nothing that looks like a checkpoint."""
    aside = path.with_name(_ASIDE + path.name)
    os.rename(path, aside)
    shutil.rmtree(aside)


def _damage(path: Path) -> str | None:
    try:
        recorded = (path / SUMS).read_text(encoding="utf-8").splitlines()
        wrong = [name for name in (WEIGHTS, STATE) if f"{file_digest(path / name)}  {name}" not in recorded]
    except (OSError, ValueError) as error:
        return f"unreadable ({error})"
    return f"{' and '.join(wrong)} differ from {SUMS}" if wrong else None
