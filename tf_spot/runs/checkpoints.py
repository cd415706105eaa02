"""Checkpoints: written aside and moved into place, verified by their SHA-256 sums when read.

step-NNNNNNNN/model.weights.h5   networks, optimizers, history buffer
step-NNNNNNNN/state.json         where the stage stands
step-NNNNNNNN/SHA256SUMS         of both, as `sha256sum -c` reads it

A kill at any moment leaves each checkpoint whole or absent. Damage (a flipped bit, a file that is missing) is found
when the checkpoint is read, and the one before it is taken.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tf_spot.errors import NO_SPACE, NoSpace, UserError
from tf_spot.storage.files import file_digest, flush
from tf_spot.storage.json_files import Form, read_json

WEIGHTS, STATE, SUMS = "model.weights.h5", "state.json", "SHA256SUMS"
_ASIDE = ".aside-"  # being written or being removed; never read
_NAME = re.compile(r"step-\d{8,}")


class Checkpoint(NamedTuple):
    """A checkpoint whose sums were found right."""

    path: Path
    step: int
    state: dict[str, Any]

    @property
    def weights_path(self) -> str:
        return str(self.path / WEIGHTS)


def write(
    folder: Path,
    step: int,
    state: Mapping[str, object],
    save_weights: Callable[[str], object],
    keep: int,
    size: int = 0,
) -> Path:
    """Write a checkpoint atomically, then remove the oldest.

    Args:
        folder: the stage's checkpoints.
        step: steps done.
        state: what else is needed to resume; JSON.
        save_weights: writes the model's weights to the path that it is given.
        keep: number of newest checkpoints that stay.
        size: bytes that must be free before the writing begins; HDF5 crashes when a disk fills up under it.

    Returns:
        the checkpoint's folder.

    Raises:
        NoSpace: the disk is full; the earlier checkpoints are whole.
    """
    for left_over in folder.glob(_ASIDE + "*"):  # of an earlier process that was killed
        shutil.rmtree(left_over)
    aside = folder / f"{_ASIDE}{step}"
    try:
        aside.mkdir(parents=True)
        _reserve(aside / "room", size)
        _fill(aside, {**state, "step": step}, save_weights)
    except OSError as error:
        shutil.rmtree(aside, ignore_errors=True)
        if error.errno not in NO_SPACE:
            raise
        raise _no_space(folder, step, size, error) from error
    path = folder / _name(step)
    if path.exists():
        _remove(path)
    os.rename(aside, path)
    flush(folder)
    for old in _all(folder)[:-keep]:
        _remove(old)
    return path


def _no_space(folder: Path, step: int, size: int, error: OSError) -> NoSpace:
    earlier = _all(folder)
    return NoSpace(
        f"a checkpoint needs {size} bytes; received: {os.strerror(error.errno or 0)}, in {folder}, at step {step}; "
        f"newest checkpoint, which is whole: {earlier[-1] if earlier else 'none yet'}; free some space and continue "
        "with --resume"
    )


def _fill(aside: Path, state: dict[str, object], save_weights: Callable[[str], object]) -> None:
    save_weights(str(aside / WEIGHTS))
    (aside / STATE).write_text(json.dumps(state, indent=2) + "\n", encoding="utf-8")
    (aside / SUMS).write_text(
        "".join(f"{file_digest(aside / name)}  {name}\n" for name in (WEIGHTS, STATE)), encoding="utf-8"
    )
    for name in (WEIGHTS, STATE, SUMS):
        flush(aside / name)
    flush(aside)


def _reserve(path: Path, size: int) -> None:
    """Raise the `OSError` of a full disk, a quota or a limit unless `size` bytes fit; leave no file."""
    if size:
        with path.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, size)  # unlike a seek, it takes the blocks
        path.unlink()


def save_and_discard(save: Callable[[Path], object], name: str) -> None:
    """Let `save` write a file of that name and discard it.

    Sums such as an epoch's means are spread over the workers. Reading one for a file is a collective operation, so
    all workers must save, though only the chief's file is kept.
    """
    with tempfile.TemporaryDirectory() as folder:
        save(Path(folder) / name)


def newest_good(folder: Path, state: Mapping[str, Form] | None = None) -> tuple[Checkpoint | None, list[str]]:
    """Find the newest checkpoint whose sums are right, and what is wrong with each newer one.

    Args:
        folder: the stage's checkpoints.
        state: what its state must hold besides the step, see `json_files`.

    Returns:
        the checkpoint, None where none was ever written; and one text for each damaged checkpoint that was skipped.

    Raises:
        UserError: there are checkpoints and every one is damaged.
        OSError: the machine does not let it read one.
    """
    damaged: list[str] = []
    for path in reversed(_all(folder)):
        try:
            return _opened(path, state or {}), damaged
        except _Differs as error:
            damaged.append(f"{path}: {error}")
        except (FileNotFoundError, ValueError) as error:
            damaged.append(f"{path}: unreadable ({error})")
    if damaged:
        raise UserError(
            f"no checkpoint in {folder} is whole: {'; '.join(damaged)}; to train from the start give another --out"
        )
    return None, []


def drop_after(folder: Path, step: int) -> None:
    """Remove the checkpoints later than `step`, which `newest_good` found damaged."""
    for path in _all(folder):
        if path.name > _name(step):
            _remove(path)


def _name(step: int) -> str:
    return f"step-{step:08d}"  # padded, so that the order of names is that of steps


def _all(folder: Path) -> list[Path]:
    # Nothing else is touched: neither read nor counted among those to keep, nor removed.
    return sorted(path for path in folder.glob("step-*") if _NAME.fullmatch(path.name) and path.is_dir())


def _remove(path: Path) -> None:
    aside = path.with_name(_ASIDE + path.name)
    os.rename(path, aside)  # first, so that a kill in between leaves nothing that looks like a checkpoint
    shutil.rmtree(aside)


class _Differs(ValueError):
    """A checkpoint whose sums are wrong."""


def _opened(path: Path, form: Mapping[str, Form]) -> Checkpoint:
    """Return a checkpoint that is as it was written.

    Raises:
        _Differs, FileNotFoundError, ValueError: what is wrong with it.
        OSError: it cannot be read now, which says nothing about it.
    """
    recorded = (path / SUMS).read_text(encoding="utf-8").splitlines()
    wrong = [name for name in (WEIGHTS, STATE) if f"{file_digest(path / name)}  {name}" not in recorded]
    if wrong:
        raise _Differs(f"{' and '.join(wrong)} differ from {SUMS}")
    state = read_json(path / STATE, {"step": int} | dict(form))
    if _name(state["step"]) != path.name:
        raise ValueError(f"{STATE} is of step {state['step']}")
    return Checkpoint(path, state["step"], state)
