"""`tf-spot pack`: what it prints, its exit codes, and options that exclude each other."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.commands.example import Recorder, last_line
from tests.support.noise_photos import noise_photos
from tf_spot.cli import main


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return noise_photos(tmp_path / "shots")


def alter(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-30] ^= 1
    path.write_bytes(bytes(content))


def test_photos_are_packed_and_verified(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    (photos / "train" / "ant" / "2.jpg").write_bytes(b"no picture")
    assert main(["pack", "--data", f"folder:{photos}", "--out", str(out), "--shard-mb", "0.004", "--json"]) == 0
    shown = capsys.readouterr()
    figures = json.loads(shown.out.splitlines()[-1])
    assert (figures["train"], figures["test"], figures["bad_files"]) == (19, 6, 1)
    assert figures["bytes"] == sum(path.stat().st_size for path in out.glob("*.tfrecord"))
    assert "bad_files.txt" in shown.err
    assert main(["pack", "--verify", str(out)]) == 0
    alter(next(iter(out.glob("test-*.tfrecord"))))
    capsys.readouterr()
    assert main(["pack", "--verify", str(out), "--json"]) == 1
    assert len(json.loads(capsys.readouterr().out.splitlines()[-1])["damaged"]) == 1
    assert main(["pack", "--data", f"folder:{photos}", "--out", str(tmp_path / "s"), "--strict"]) == 2
    for words in (["--out", str(out)], ["--verify", str(out), "--data", "photos"]):
        assert main(["pack", *words]) == 2


def test_without_a_source_or_a_folder_nothing_is_done(capsys: pytest.CaptureFixture[str]) -> None:
    for words in ([], ["--data", "photos"], ["--out", "x"]):
        assert main(["pack", *words]) == 2
        assert "pack needs --data SPEC and --out DIR, or --verify DIR alone" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "--data SPEC and --out DIR"),
        (["--data", "photos"], "--data SPEC and --out DIR"),
        (["--verify", "x", "--data", "photos"], "--verify DIR must stand alone"),
        (["--verify", "x", "--out", "y"], "--verify DIR must stand alone"),
    ],
)
def test_options_that_do_not_go_together(words, says, capsys) -> None:
    assert main(["pack", *words]) == 2
    assert says in capsys.readouterr().err


def test_sizes_are_printed_and_unreadable_photos_named(spec, tmp_path, monkeypatch, capsys) -> None:
    index = {"splits": {"train": 30, "test": 12}, "shards": [{"bytes": 5}, {"bytes": 6}], "bad_files": 1}
    pack = Recorder(index)
    monkeypatch.setattr("tf_spot.data.shard_writer.pack", pack)
    words = ["--shard-mb", "0.5", "--workers", "3", "--strict", "--json"]
    assert main(["pack", "--data", spec, "--out", str(tmp_path), *words]) == 0
    assert pack.received(tmp_path, 0.5, 3, True)
    out, err = capsys.readouterr()
    assert last_line(out) == {"train": 30, "test": 12, "shards": 2, "bytes": 11, "bad_files": 1}
    assert str(tmp_path / "bad_files.txt") in err


@pytest.mark.parametrize(
    ("damaged", "code", "says"), [({}, 0, "every shard"), ({"train-0": "train-0: shorter"}, 1, "train-0: shorter")]
)
def test_verify_names_the_damaged_shards(damaged, code, says, tmp_path, monkeypatch, capsys) -> None:
    verify = Recorder(damaged)
    monkeypatch.setattr("tf_spot.data.shard_writer.verify", verify)
    assert main(["pack", "--verify", str(tmp_path)]) == code
    assert verify.received(tmp_path) and says in capsys.readouterr().out
