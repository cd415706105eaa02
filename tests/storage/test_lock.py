"""One process at a time writes a folder in steps."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tf_spot.errors import UserError
from tf_spot.storage.lock import LOCK, sole_writer

ROOT = Path(__file__).parents[2]
HOLD = (
    "import sys, time; from tf_spot.storage.lock import sole_writer\n"
    "with sole_writer(sys.argv[1], 'training'): print('held', flush=True); time.sleep(100)"
)


@contextmanager
def held(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Hold the lock of a folder in another process."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", HOLD, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as holder:
        assert holder.stdout and holder.stdout.readline() == "held\n"
        yield holder
        holder.kill()


def test_a_second_training_may_not_write_the_same_folder(tmp_path: Path) -> None:
    """Held by another process, which is then killed: the folder is free at once."""
    folder = tmp_path / "run"
    with held(folder):
        with (
            pytest.raises(UserError, match="only one training at a time .*run, which"),
            sole_writer(folder, "training"),
        ):
            pass
        assert (folder / LOCK).is_file(), "that of the other is left alone"
        with sole_writer(folder, "evaluation", ".lock-knn"):
            pass  # another lock of the same folder
    with sole_writer(folder, "training"):
        pass


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="must be a folder"), sole_writer(tmp_path / "file", "training"):
        pass


def test_a_lock_leaves_nothing(tmp_path: Path) -> None:
    """The folder may be somebody else's, given by mistake."""
    (tmp_path / "notes.txt").touch()
    with sole_writer(tmp_path, "training"):
        assert (tmp_path / LOCK).is_file()
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
    with pytest.raises(RuntimeError), sole_writer(tmp_path / "new" / "run", "training"):
        raise RuntimeError
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"], "the folders that it made are gone"
    with sole_writer(tmp_path / "new" / "run", "training"):
        (tmp_path / "new" / "run" / "file").touch()
    assert [path.name for path in (tmp_path / "new" / "run").iterdir()] == ["file"]


def test_a_lock_that_its_holder_removed_meanwhile_is_taken_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Opened before the holder before removed it: locking that file would keep nobody out."""
    opened = os.open
    times = []

    def opened_and_removed(path, *rest):
        descriptor = opened(path, *rest)
        if not times:
            os.unlink(path)
        times.append(path)
        return descriptor

    monkeypatch.setattr(os, "open", opened_and_removed)
    with sole_writer(tmp_path, "training"):
        assert len(times) == 2 and (tmp_path / LOCK).is_file()
