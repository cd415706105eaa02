"""Where things are kept for all runs of a user."""

from __future__ import annotations

from pathlib import Path

import pytest

from tf_spot.storage.user_cache import user_cache


def test_the_cache_is_where_the_user_has_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert user_cache("things") == tmp_path / "tf_spot" / "things"
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert user_cache("things") == tmp_path / "home" / ".cache" / "tf_spot" / "things"
