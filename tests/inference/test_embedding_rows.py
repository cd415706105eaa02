"""Rows: their order, ids over two splits, names that are not UTF-8, and which splits are meant."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tf_spot.config import PAPER
from tf_spot.data import Source, load
from tf_spot.errors import UserError
from tf_spot.inference.embedder import Embedder
from tf_spot.inference.embedding_rows import check_options, rows_of, splits_of


@pytest.fixture
def source(tmp_path: Path) -> Source:
    """Plain JPEG files, which are read first, among PNG files; the level tells which is which."""
    for split, levels in (("train", range(0, 100, 20)), ("test", range(100, 160, 20))):
        for name in "ab":
            (tmp_path / split / name).mkdir(parents=True)
        for number, level in enumerate(levels):
            file = tmp_path / split / "ab"[number % 2] / f"{number}.{'jpg' if number % 2 else 'png'}"
            Image.new("L", (8, 8), level).save(file)
    return load(f"folder:{tmp_path}", image_size=8)


@pytest.fixture
def embedder() -> Embedder:
    """The mean level of an image."""
    return Embedder(
        lambda images: (images.mean(axis=(1, 2)) + 1) * 127.5, image_size=8, data=PAPER.data, digest="", batch_size=2
    )


def test_rows_are_in_the_order_of_the_photos(embedder: Embedder, source: Source) -> None:
    rows = rows_of(embedder, source, "train", source.in_any_order("train", 2))
    assert rows.id.tolist() == [0, 1, 2, 3, 4]
    assert rows.path.tolist() == [f"train/{name}" for name in ("a/0.png", "a/2.png", "a/4.png", "b/1.jpg", "b/3.jpg")]
    assert rows.split.tolist() == ["train"] * 5 and rows.label.tolist() == ["a", "a", "a", "b", "b"]
    np.testing.assert_allclose(rows.embedding[:, 0], [0, 40, 80, 20, 60], atol=1e-3)


def test_ids_of_test_photos_come_after_those_of_training(embedder: Embedder, source: Source) -> None:
    rows = rows_of(embedder, source, "test", source.in_any_order("test", 2))
    assert rows.id.tolist() == [5, 6, 7]
    assert rows.split.tolist() == ["test"] * 3 and rows.label.tolist() == ["a", "a", "b"]
    assert rows.path.tolist() == ["test/a/0.png", "test/a/2.png", "test/b/1.jpg"], "no photo of train has this path"
    np.testing.assert_allclose(rows.embedding[:, 0], [100, 140, 120], atol=1e-3)


def test_no_photos_are_no_rows(embedder: Embedder, source: Source) -> None:
    rows = rows_of(embedder, source, "train", [])
    assert [len(column) for column in rows] == [0] * 5


def test_bytes_of_a_name_that_are_not_utf_8_are_spelled_out(embedder: Embedder, tmp_path: Path) -> None:
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    os.rename(tmp_path / "a.png", os.fsencode(tmp_path) + b"/\xe9t\xe9.png")
    source = load(f"folder:{tmp_path}", image_size=8)
    rows = rows_of(embedder, source, "train", source.in_any_order("train", 2))
    assert rows.path.tolist() == ["\\xe9t\\xe9.png"] and rows.label.tolist() == [""], "a folder without classes"


def test_splits_that_are_meant(source: Source, tmp_path: Path) -> None:
    assert splits_of(source, "all") == ["train", "test"] and splits_of(source, "test") == ["test"]
    flat = load(f"folder:{tmp_path / 'train' / 'a'}", image_size=8)
    assert splits_of(flat, "all") == splits_of(flat, "train") == ["train"]
    with pytest.raises(UserError, match="--split test needs photos with a test split"):
        splits_of(flat, "test")


@pytest.mark.parametrize(
    ("split", "batch_size", "chunk", "message"),
    [
        ("val", 1, 1, "--split must be one of train, test, all; received: val"),
        ("all", 0, 1, "must be 1 or more; received: 0 and 1"),
        ("all", 1, 0, "must be 1 or more; received: 1 and 0"),
    ],
)
def test_options_out_of_range(split: str, batch_size: int, chunk: int, message: str) -> None:
    with pytest.raises(UserError, match=message):
        check_options(split, batch_size, chunk)
