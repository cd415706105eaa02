"""Patterns with braces and wildcards."""

from __future__ import annotations

from pathlib import Path

import pytest

from tf_spot.errors import UserError
from tf_spot.storage.patterns import expand_braces, find_files


@pytest.mark.parametrize(
    ("pattern", "wanted"),
    [
        ("a.tar", ["a.tar"]),
        ("{8..10}.tar", ["8.tar", "9.tar", "10.tar"]),
        ("{008..010}.tar", ["008.tar", "009.tar", "010.tar"]),
        ("{train,val}-{0..1}.tar", ["train-0.tar", "train-1.tar", "val-0.tar", "val-1.tar"]),
        ("{1..1}{1..1}", ["11"]),
        ("{0..1}{0..1}", ["00", "01", "10", "11"]),
        ("{b{1..2},a}", ["b1", "a", "b2", "a"]),
        ("{a}.tar", ["{a}.tar"]),  # as a shell has it
    ],
)
def test_braces(pattern: str, wanted: list[str]) -> None:
    assert expand_braces(pattern) == wanted


@pytest.mark.parametrize("pattern", ["{3..1}", "{0..99999999}", "{000..999}{000..999}{0..1}"])
def test_braces_that_are_refused(pattern: str) -> None:
    with pytest.raises(UserError, match="1,000,000"):
        expand_braces(pattern)


@pytest.fixture
def tars(tmp_path: Path) -> Path:
    for name in ("train/0.tar", "train/1.tar", "val/0.tar", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def test_names_are_below_the_folder_that_the_pattern_names(tars: Path) -> None:
    everything = ["train/0.tar", "train/1.tar", "val/0.tar"]
    for pattern in ("", "/*/*.tar", "/**/*.tar"):
        assert find_files(f"{tars}{pattern}", ".tar") == (tars, everything)
    assert find_files(f"{tars}/train/{{1..1}}.tar", ".tar") == (tars / "train", ["1.tar"])
    assert find_files(f"{tars}/{{val,train}}/0.tar", ".tar") == (tars, ["val/0.tar", "train/0.tar"])
    assert find_files(f"{tars}/val/0.tar", ".tar") == (tars / "val", ["0.tar"])


def test_a_relative_pattern(tars: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tars / "train")
    assert find_files("{0..1}.tar", ".tar") == (Path(), ["0.tar", "1.tar"])
    assert find_files(".", ".tar").names == ["0.tar", "1.tar"]


@pytest.mark.parametrize(
    ("pattern", "says"),
    [
        ("train/{0..3}.tar", "of whose 4 files 2 are missing, the first is .*/train/2.tar"),
        ("train/*.tgz", "for which there are none; put it in quotes"),
        ("gone/0.tar", "of whose 1 files 1 are missing"),
    ],
)
def test_files_that_are_missing(tars: Path, pattern: str, says: str) -> None:
    with pytest.raises(UserError, match=says):
        find_files(f"{tars}/{pattern}", ".tar")
