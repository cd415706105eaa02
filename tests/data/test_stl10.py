"""stl10:PATH on small files of the official layout."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from tf_spot.config import PAPER
from tf_spot.data import load
from tf_spot.errors import UserError

WHOLE = dataclasses.replace(PAPER.data, center_crop=1.0, held_out_share=0.25)


def write(root, split, photos, labels=None):
    """`photos` uint8 (n, 96, 96, 3) in the official order of axes: photo, channel, column, row."""
    photos.transpose(0, 3, 2, 1).tofile(root / f"{split}_X.bin")
    if labels is not None:
        np.asarray(labels, np.uint8).tofile(root / f"{split}_y.bin")


@pytest.fixture
def photos(tmp_path):
    generator = np.random.default_rng(0)
    made = {split: generator.integers(0, 256, (n, 96, 96, 3), np.uint8)
            for split, n in (("train", 6), ("test", 4), ("unlabeled", 8))}  # fmt: skip
    write(tmp_path, "train", made["train"], [1, 2, 3, 1, 2, 3])
    write(tmp_path, "test", made["test"], [3, 2, 1, 1])
    write(tmp_path, "unlabeled", made["unlabeled"])
    (tmp_path / "class_names.txt").write_text("ant\nbee\ncat\n")
    (tmp_path / "fold_indices.txt").write_text("0 2 4\n1 3 5\n")
    return made


def open_stl10(path):
    return load(f"stl10:{path}", image_size=96, config=WHOLE)


def test_round_trip(tmp_path, photos):
    source = open_stl10(tmp_path)
    assert source.name == "stl10" and source.class_names == ["ant", "bee", "cat"]
    for split, labels in (("train", [0, 1, 2, 0, 1, 2]), ("test", [2, 1, 0, 0])):
        ((images, classes),) = source.labelled(split, 16)
        np.testing.assert_allclose(images, photos[split] / 127.5 - 1, atol=1e-6)
        assert classes.numpy().tolist() == labels
    assert [fold.tolist() for fold in source.folds()] == [[0, 2, 4], [1, 3, 5]]


def test_the_unlabelled_photos_are_trained_on(tmp_path, photos):
    source = open_stl10(tmp_path)
    assert (source.count("unlabelled"), source.count("held_out"), source.count("train")) == (6, 2, 6)
    ((held_out, labels),) = source.held_out_labelled(8)
    assert labels.numpy().tolist() == [-1, -1]
    apart = np.abs(held_out.numpy()[:, None] - (photos["unlabeled"] / 127.5 - 1)[None]).max(axis=(2, 3, 4))
    assert (apart.min(axis=1) < 1e-5).all()
    assert next(iter(source.unlabelled(4))).shape == (4, 96, 96, 3)


def test_without_unlabelled_photos_the_training_photos_are(tmp_path, photos):
    (tmp_path / "unlabeled_X.bin").unlink()
    source = open_stl10(tmp_path)
    assert (source.count("unlabelled"), source.count("held_out")) == (5, 1)


def test_the_folder_that_the_archive_makes(tmp_path, photos):
    inner = tmp_path / "stl10_binary"
    inner.mkdir()
    for file in list(tmp_path.glob("*.*")):
        file.rename(inner / file.name)
    assert open_stl10(tmp_path).fingerprint == open_stl10(inner).fingerprint


def test_the_fingerprint_follows_the_photos(tmp_path, photos):
    before = open_stl10(tmp_path).fingerprint
    write(tmp_path, "train", 255 - photos["train"])
    assert open_stl10(tmp_path).fingerprint != before


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("train_X.bin", lambda b: b[:-1], r"whole number of photos of 27,648 bytes .* received: 165,887 bytes"),
        ("test_X.bin", lambda b: b"", "received: 0 bytes"),
        ("unlabeled_X.bin", lambda b: b[:100], "unlabeled_X.bin must be a whole number"),
        ("train_X.bin", lambda b: b[:27648], "received: 1 photos and 6 labels"),
        ("test_y.bin", lambda b: b + b"\1", "received: 4 photos and 5 labels"),
        ("train_y.bin", lambda b: b"\0" + b[1:], "labels of train_y.bin must be from 1 to 3; received: 0 to 3"),
        ("train_y.bin", lambda b: b"\4" + b[1:], "received: 1 to 4"),
        ("class_names.txt", lambda b: b"ant\nant\ncat\n", "no two alike; received: ant, ant, cat"),
        ("train_X.bin", None, "without train_X.bin"),
        ("test_y.bin", None, "without test_y.bin"),
    ],
)
def test_wrong_files(tmp_path, photos, file, change, message):
    if change is None:
        (tmp_path / file).unlink()
    else:
        (tmp_path / file).write_bytes(change((tmp_path / file).read_bytes()))
    with pytest.raises(UserError, match=message):
        open_stl10(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0 1 x\n", "must hold whole numbers"),
        ("0 1\n2 6\n", "fold 2 .* from 0 to 5.* received: 2 to 6"),
        ("-1 2\n", "fold 1 .* received: -1 to 2"),
        ("0 1 1\n", "1 repeated"),
        ("\n", "received: an empty file"),
        (None, "without it"),
    ],
)
def test_wrong_folds(tmp_path, photos, text, message):
    if text is None:
        (tmp_path / "fold_indices.txt").unlink()
    else:
        (tmp_path / "fold_indices.txt").write_text(text)
    source = open_stl10(tmp_path)  # training needs no folds
    with pytest.raises(UserError, match=message):
        source.folds()


def test_only_stl10_has_folds():
    with pytest.raises(UserError, match="only stl10:PATH has folds; received: photos"):
        load("photos", image_size=32).folds()
