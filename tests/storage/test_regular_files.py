"""Only regular files are opened: nothing that waits or has no end."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.odd_files import ODD
from tf_spot.storage.regular_files import is_regular, open_regular


@pytest.mark.parametrize("kind", ODD)
def test_what_is_no_regular_file_is_refused(kind: str, tmp_path: Path) -> None:
    ODD[kind](tmp_path / "x.jpg")
    with pytest.raises(OSError, match=f"not a regular file but {kind}: .*x.jpg"):
        open_regular(tmp_path / "x.jpg")
    assert not is_regular(tmp_path / "x.jpg")


def test_a_file_and_a_link_to_one_are_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    for name in ("file", "link"):
        with open_regular(tmp_path / name) as file:
            assert file.read() == b"content"
        assert is_regular(tmp_path / name) and is_regular(os.fsencode(tmp_path / name))
    with pytest.raises(FileNotFoundError):
        open_regular(tmp_path / "absent")
    assert not is_regular(tmp_path / "absent")


def test_a_fifo_that_takes_the_place_of_a_file_does_not_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "fifo")
    looked_at = os.stat(tmp_path / "file")
    monkeypatch.setattr(os, "stat", lambda path: looked_at)
    with pytest.raises(OSError, match="not a regular file but a FIFO"):
        open_regular(tmp_path / "fifo")
