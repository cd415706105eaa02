"""list:FILE: photos by a CSV or JSON-lines file, with or without classes and splits."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.grey_photos import STILL, levels, write
from tf_spot.data import Source, load
from tf_spot.errors import UserError


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    write(tmp_path / "shots", 10, 20, 30, 40)
    return tmp_path


def opened(path: Path) -> Source:
    return load(f"list:{path}", image_size=8, config=STILL)


def write_list(folder: Path, text: str, name: str = "mine.csv") -> Path:
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


CSV = """path,label,split,note
shots/010.png,bee,train,one
shots/030.png,ant,train,"two, three"
shots/020.png,bee,test,
{folder}/shots/040.png,ant,test,
"""
ROWS = [
    {"path": "shots/010.png", "label": "bee", "split": "train"},
    {"path": "shots/030.png", "label": "ant"},
    {"path": "shots/020.png", "label": "bee", "split": "test"},
    {"path": "shots/040.png", "label": "ant", "split": "test"},
]


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_labels_and_splits_are_those_of_the_list(photos: Path, kind: str) -> None:
    text = CSV.format(folder=photos) if kind == "csv" else "\n".join(map(json.dumps, ROWS))
    source = opened(write_list(photos, text, f"mine.{kind}"))
    assert (source.name, source.class_names) == ("mine", ["ant", "bee"])
    (train,), (test,) = source.labelled("train", 8), source.labelled("test", 8)
    assert levels([train[0]]) == [10, 30] and train[1].numpy().tolist() == [1, 0]
    assert levels([test[0]]) == [20, 40] and test[1].numpy().tolist() == [1, 0]
    assert source.photo_name("train", 1) == "shots/030.png"


def test_without_labels_and_splits_all_photos_are_trained_on(photos: Path) -> None:
    source = opened(write_list(photos, "path\nshots/010.png\nshots/020.png\n"))
    assert (source.has_labels, source.has_test, source.count("train")) == (False, False, 2)


def test_photos_of_val_are_tested_on_only_without_test(photos: Path) -> None:
    text = "path,label,split\nshots/010.png,bee,train\nshots/020.png,bee,val\nshots/030.png,bee,{}\n"
    (test,) = opened(write_list(photos, text.format("test"))).labelled("test", 8)
    assert levels([test[0]]) == [30]
    (test,) = opened(write_list(photos, text.format("val"))).labelled("test", 8)
    assert levels([test[0]]) == [20, 30]


@pytest.mark.parametrize(
    "again", ["./shots/010.png", "shots//010.png", "gone/../shots/010.png", "{folder}/shots/010.png"]
)
def test_a_photo_in_two_spellings_is_named_twice(photos: Path, again: str) -> None:
    rows = f"path,split\nshots/010.png,train\n{again.format(folder=photos)},test\n"
    with pytest.raises(UserError, match="must name each photo once; .*repeats 1, the first is .* after shots/010.png"):
        opened(write_list(photos, rows))


@pytest.mark.parametrize("path", ["shots/\0.png", "shots/\ud800.png"])
def test_text_that_no_file_may_have_as_its_path(photos: Path, path: str) -> None:
    rows = "\n".join(json.dumps({"path": name}) for name in ("shots/010.png", path))
    with pytest.raises(UserError, match="text without a NUL or half of a character; received: .*, in row 2 of .*mine"):
        opened(write_list(photos, rows, "mine.jsonl"))


def test_names_that_are_not_utf8_may_stand_in_json(photos: Path) -> None:
    (photos / "shots/010.png").rename(photos / "shots/\udcff.png")
    source = opened(write_list(photos, json.dumps({"path": "shots/\udcff.png"}), "mine.jsonl"))
    assert source.count("train") == 1


def test_labelled_photos_without_a_split_lose_a_fifth_to_it(photos: Path) -> None:
    write(photos / "more", *range(100, 140))
    rows = "".join(f"more/{level}.png,{'ab'[level % 2]}\n" for level in range(100, 140))
    source = opened(write_list(photos, "path,label\n" + rows))
    assert 2 <= source.count("test") <= 15 and source.count("train") + source.count("test") == 40


def test_the_fingerprint_changes_with_the_photos(photos: Path) -> None:
    one = opened(write_list(photos, "path\nshots/010.png\nshots/020.png\n"))
    other = opened(write_list(photos, "path\nshots/010.png\nshots/030.png\n"))
    assert one.fingerprint != other.fingerprint


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("path\n", "must have rows; received: .*mine.csv, which has none"),
        ("file\nshots/010.png\n", "every row of a list must have a path; .*row 1 without one; its columns: file"),
        ("path,split\nshots/010.png,dev\n", "a split must be one of train, test, val; received: dev, in row 1"),
        ("path\nshots/010.png\nshots/010.png\n", "must name each photo once; .*repeats 1"),
        ("path,label\nshots/010.png,bee\nshots/020.png,\n", "with 1 that have none, the first is shots/020.png"),
        ("path,label,split\nshots/010.png,bee,train\nshots/020.png,ant,test\n", r"trained on \(bee\); received: ant"),
        ("path,split\nshots/010.png,test\n", "photos to train on; .*all of the test split"),
        ("path\nshots/011.png\n", "photos that can be read"),
    ],
)
def test_lists_that_do_not_fit(photos: Path, text: str, says: str) -> None:
    with pytest.raises(UserError, match=says):
        opened(write_list(photos, text))


def test_files_that_are_no_lists(photos: Path) -> None:
    with pytest.raises(UserError, match="ends in .csv or .jsonl; received: .*gone.csv"):
        opened(photos / "gone.csv")
    with pytest.raises(UserError, match="must be CSV or JSON lines in UTF-8"):
        opened(write_list(photos, "{no json", "mine.jsonl"))
    (photos / "mine.csv").write_bytes(b"path\n\xff\xfe\n")
    with pytest.raises(UserError, match="must be CSV or JSON lines in UTF-8"):
        opened(photos / "mine.csv")
