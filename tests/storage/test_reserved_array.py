"""Arrays in files: their room is taken at once, and a disk that is full is told."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tf_spot.errors import NoSpace
from tf_spot.storage.reserved_array import reserved_array

WHAT = ("a test", "test less")


def failing(number: int) -> Any:
    def fail(*arguments: int) -> None:
        raise OSError(number, os.strerror(number))

    return fail


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="this system cannot reserve blocks")
def test_all_blocks_are_taken_before_anything_is_written(tmp_path: Path) -> None:
    array = reserved_array(tmp_path / "a", (1_000, 50, 10), *WHAT)
    assert (tmp_path / "a").stat().st_blocks * 512 >= 2_000_000
    assert array.shape == (1_000, 50, 10) and array.dtype == np.float32 and not array.any()


def test_what_is_written_lies_in_the_file(tmp_path: Path) -> None:
    reserved_array(tmp_path / "a", (3, 2), *WHAT)[1] = 7
    assert np.fromfile(tmp_path / "a", np.float32).tolist() == [0, 0, 7, 7, 0, 0]


def test_a_disk_that_fills_meanwhile_is_told_and_no_file_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "posix_fallocate", failing(errno.ENOSPC), raising=False)
    with pytest.raises(NoSpace, match=r"a test needs 0.0 GB in .*; free: .* GB; set TMPDIR .* more room, or test less"):
        reserved_array(tmp_path / "a", (3, 2), *WHAT)
    assert not list(tmp_path.iterdir())


def test_another_fault_of_the_disk_keeps_its_own_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "posix_fallocate", failing(errno.EIO), raising=False)
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        reserved_array(tmp_path / "a", (3, 2), *WHAT)


@pytest.mark.parametrize("offered", [False, True])
def test_free_space_is_looked_at_where_blocks_cannot_be_taken(
    offered: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if offered:  # by the system, but not by the file system
        monkeypatch.setattr(os, "posix_fallocate", failing(errno.EOPNOTSUPP), raising=False)
    else:
        monkeypatch.delattr(os, "posix_fallocate", raising=False)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=24))
    assert not reserved_array(tmp_path / "fits", (3, 2), *WHAT).any()
    with pytest.raises(NoSpace, match="free: 0.0 GB"):
        reserved_array(tmp_path / "too-large", (7,), *WHAT)
    assert not (tmp_path / "too-large").exists()
