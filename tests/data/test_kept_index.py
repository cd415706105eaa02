"""The index of a tar: kept between commands, and never in the way."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.grey_photos import STILL
from tests.support.tar_photos import samples, write_tar
from tf_spot.data import kept_index, load
from tf_spot.data.kept_index import kept_photos
from tf_spot.data.tar_index import Photo, read_photos
from tf_spot.errors import UserError


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the indices."""
    monkeypatch.setattr(kept_index, "folder", lambda: tmp_path / "cache" / "tar-index")
    return tmp_path / "cache" / "tar-index"


@pytest.fixture
def walked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the tars whose headers are read."""
    names: list[str] = []

    def reading(path: Path, *options: str | None) -> list[Photo]:
        names.append(path.name)
        return read_photos(path, *options)

    monkeypatch.setattr(kept_index, "read_photos", reading)
    return names


def test_a_second_opening_reads_no_headers(tmp_path: Path, kept: Path, walked: list[str]) -> None:
    for name in ("a", "b"):
        write_tar(tmp_path / "set" / f"{name}.tar", samples(10, 20, 30, label=f"höhe {name}"))

    def opened() -> tuple[str, list[str] | None, dict[str, int]]:
        source = load(f"wds:{tmp_path}/set,test=none", image_size=8, config=STILL)
        return source.fingerprint, source.class_names, source.counts()

    first = opened()
    assert walked == ["a.tar", "b.tar"] and len(list(kept.iterdir())) == 2
    assert opened() == first and len(walked) == 2
    for file in kept.iterdir():
        file.unlink()
    assert opened() == first and len(walked) == 4


def test_names_that_are_no_text_are_kept(tmp_path: Path, kept: Path, walked: list[str]) -> None:
    path = write_tar(tmp_path / os.fsdecode(b"\xff.tar"), {"1 \udcff\n.png": 1, "1 \udcff\n.cls": "x"})
    assert kept_photos(path) == kept_photos(path) == read_photos(path) and len(walked) == 1


def test_each_choice_of_options_has_an_index_of_its_own(tmp_path: Path, kept: Path, walked: list[str]) -> None:
    path = write_tar(tmp_path / "a.tar", {"1.png": 1, "1.cls": "x", "1.txt": "y", "2.jpg": 2})
    choices = [(None, None), (None, "txt"), (None, "none"), ("png", None)]
    for _ in range(2):
        assert [kept_photos(path, *choice) for choice in choices] == [read_photos(path, *choice) for choice in choices]
    assert len(walked) == len(list(kept.iterdir())) == 4


def test_an_altered_tar_is_read_again(tmp_path: Path, kept: Path, walked: list[str]) -> None:
    path = write_tar(tmp_path / "a.tar", samples(1, 2))
    kept_photos(path)
    write_tar(path, samples(1, 3))  # of the same size
    os.utime(path, ns=(0, 1))
    assert [photo.name for photo in kept_photos(path)] == ["001.png", "003.png"]
    write_tar(path, samples(*range(50)))
    os.utime(path, ns=(0, 1))
    assert len(kept_photos(path)) == 50 and len(walked) == 3
    assert len(list(kept.iterdir())) == 1, "the index of the former state is replaced"
    path.write_bytes(path.read_bytes()[:700])
    with pytest.raises(UserError, match="complete tars"):
        kept_photos(path)
    path.unlink()
    with pytest.raises(FileNotFoundError):
        kept_photos(path)


def test_a_tar_that_changes_while_it_is_read_is_not_kept(
    tmp_path: Path, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_tar(tmp_path / "a.tar", samples(1, 2))

    def changed(path: Path, *options: str | None) -> list[Photo]:
        found = read_photos(path, *options)
        os.utime(path, ns=(0, 1))
        return found

    monkeypatch.setattr(kept_index, "read_photos", changed)
    assert len(kept_photos(path)) == 2 and not kept.exists()


@pytest.mark.parametrize("damage", ["empty", "short", "digit", "other", "noise", "folder"])
def test_a_damaged_index_is_passed_over(tmp_path: Path, kept: Path, walked: list[str], damage: str) -> None:
    path = write_tar(tmp_path / "a.tar", samples(1, 2))
    expected = kept_photos(path)
    (file,) = kept.iterdir()
    content = file.read_bytes()
    if damage == "folder":
        file.unlink()
        file.mkdir()
    else:
        other = content.replace(b"001.png", b"009.png")
        damaged = {"empty": b"", "short": content[:-5], "digit": other, "other": b"{}", "noise": bytes(range(256))}
        file.write_bytes(damaged[damage])
    assert kept_photos(path) == expected and len(walked) == 2
    if damage != "folder":
        assert file.read_bytes() == content and kept_photos(path) == expected and len(walked) == 2


@pytest.mark.parametrize("trouble", ["a file", "read-only", "no home"])
def test_a_cache_that_cannot_be_written_costs_time_alone(
    tmp_path: Path, kept: Path, walked: list[str], monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    path = write_tar(tmp_path / "a.tar", samples(1, 2))
    if trouble == "a file":
        (tmp_path / "cache").touch()
    elif trouble == "read-only":
        kept.mkdir(parents=True)
        monkeypatch.setattr(kept_index, "write_file", _refused)
    else:
        monkeypatch.setattr(kept_index, "folder", _homeless)
    assert kept_photos(path) == kept_photos(path) == read_photos(path) and len(walked) == 2


def _refused(*_: object) -> None:
    raise PermissionError(13, "read-only")


def _homeless() -> Path:
    raise RuntimeError("Could not determine home directory.")
