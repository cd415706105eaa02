"""places:PATH on small trees of the official layouts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tf_spot.data import load
from tf_spot.data.source import Source
from tf_spot.errors import UserError

CLASSES = ("a/abbey", "f/field/wild")


def write(root: Path, photos: str, names: list[str]) -> None:
    """One grey photo a name, as dark as its file is numbered."""
    for name in names:
        file = root / photos / name
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (16, 16), int(file.stem)).save(file)


def places205(root: Path) -> None:
    photos = "data/vision/torralba/deeplearning/images256"
    train, val = ([f"{CLASSES[number % 2]}/{number}.jpg" for number in numbers] for numbers in (range(6), range(6, 9)))
    write(root, photos, train + val)
    (root / "trainvalsplit_places205").mkdir()
    for split, names in (("train", train), ("val", val)):
        lines = [f"{name} {CLASSES.index(name.rpartition('/')[0])}\n" for name in names]
        (root / "trainvalsplit_places205" / f"{split}_places205.csv").write_text("".join(lines))


def places365(root: Path) -> None:
    train = [f"{CLASSES[number % 2]}/{number}.jpg" for number in range(6)]
    write(root, "data_256", train)
    write(root, "val_256", ["6.jpg", "7.jpg", "8.jpg"])
    lines = [f"/{name} {CLASSES.index(name.rpartition('/')[0])}\n" for name in train]
    (root / "places365_train_standard.txt").write_text("".join(lines))
    (root / "places365_val.txt").write_text("6.jpg 0\n7.jpg 1\n8.jpg 0\n")


def open_places(root: Path) -> Source:
    return load(f"places:{root}", image_size=8)


@pytest.mark.parametrize("make", [places205, places365])
def test_the_lists_say_which_photo_is_for_what(tmp_path: Path, make) -> None:
    make(tmp_path)
    source = open_places(tmp_path)
    assert (source.name, source.class_names) == (make.__name__, ["abbey", "field/wild"])
    for split, first, count in (("train", 0, 6), ("test", 6, 3)):
        (batch,) = source.labelled(split, 8)
        assert batch[1].numpy().tolist() == [number % 2 for number in range(first, first + count)]
        greys = np.round((batch[0].numpy().mean(axis=(1, 2, 3)) + 1) * 127.5)
        assert greys.tolist() == list(range(first, first + count))
    assert source.photo_name("train", 1) == "f/field/wild/1.jpg"


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda root: (root / "places365_val.txt").unlink(), "must hold .*places365_val.txt; received"),
        (lambda root: (root / "val_256").rename(root / "val"), "in val_256 or val_large; received: none"),
        (lambda root: (root / "places365_val.txt").write_text(""), "places365_val.txt must list photos"),
        (lambda root: (root / "places365_val.txt").write_text("6.jpg 0\n7.jpg\n"), "received: line 2: 7.jpg"),
        (lambda root: (root / "places365_val.txt").write_text("6.jpg 2\n"), "the 2 classes of .*received: class 2"),
        (
            lambda root: (root / "places365_train_standard.txt").write_text("/a/abbey/0.jpg 1\n"),
            "photos of every class; received: none of class 0",
        ),
    ],
)
def test_lists_and_folders_that_do_not_fit(tmp_path: Path, spoil, message: str) -> None:
    places365(tmp_path)
    spoil(tmp_path)
    with pytest.raises(UserError, match=message):
        open_places(tmp_path)


def test_a_photo_that_is_missing_is_left_out_and_told(tmp_path: Path) -> None:
    places205(tmp_path)
    (tmp_path / "data/vision/torralba/deeplearning/images256/a/abbey/2.jpg").unlink()
    source = open_places(tmp_path)
    assert [len(batch[1]) for batch in source.labelled("train", 8)] == [5]
    assert [line.partition(":")[0] for line in source.bad_files] == ["a/abbey/2.jpg"]


def test_the_fingerprint_follows_the_lists(tmp_path: Path) -> None:
    places205(tmp_path)
    before = open_places(tmp_path).fingerprint
    file = tmp_path / "trainvalsplit_places205" / "val_places205.csv"
    file.write_text("".join(file.read_text().splitlines(keepends=True)[1:]))
    assert open_places(tmp_path).fingerprint != before
