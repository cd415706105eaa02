"""One training at a time writes a run folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tf_spot.errors import UserError
from tf_spot.runs.lock import LOCK, sole_writer

ROOT = Path(__file__).parents[2]


def test_a_second_training_may_not_write_the_same_folder(tmp_path: Path) -> None:
    """Held by another process, which is then killed: the folder is free at once."""
    code = (
        "import sys, time; from tf_spot.runs.lock import sole_writer\n"
        "with sole_writer(sys.argv[1]): print('held', flush=True); time.sleep(100)"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code, str(tmp_path / "run")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as holder:
        assert holder.stdout and holder.stdout.readline() == "held\n"
        with pytest.raises(UserError, match="only one training at a time"), sole_writer(tmp_path / "run"):
            pass
        holder.kill()
    with sole_writer(tmp_path / "run"):
        pass
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="must be a folder"), sole_writer(tmp_path / "file"):
        pass


def test_the_lock_leaves_nothing_where_no_run_was_begun(tmp_path: Path) -> None:
    """The folder may be somebody else's, given by mistake."""
    (tmp_path / "notes.txt").touch()
    with sole_writer(tmp_path):
        assert (tmp_path / LOCK).is_file()
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
    (tmp_path / "config.json").touch()
    with sole_writer(tmp_path):
        pass
    assert (tmp_path / LOCK).is_file(), "a run keeps its lock file"
