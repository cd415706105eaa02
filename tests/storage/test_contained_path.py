"""Paths in files stay inside the folder of the file."""

from pathlib import Path

import pytest

from tf_spot.errors import UserError
from tf_spot.storage.contained_path import contained_path


@pytest.mark.parametrize("name", ["a", "a/b.npz", "./a", "a..b", "..a/b"])
def test_paths_inside_are_taken(name: str) -> None:
    assert contained_path(Path("folder"), name, "index.json") == Path("folder") / name


@pytest.mark.parametrize("name", ["/etc/passwd", "..", "../a", "a/../../b", "a/..", "", ".", None, 3, ["a"], "a\0b"])
def test_paths_outside_are_refused(name: object) -> None:
    with pytest.raises(UserError, match="paths in index.json of folder must be relative and stay inside it; received"):
        contained_path(Path("folder"), name, "index.json")
