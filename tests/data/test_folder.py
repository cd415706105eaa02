"""folder:PATH: layouts, labels, the fingerprint, and folders that do not fit."""

from __future__ import annotations

import os

import pytest
import tensorflow as tf
from PIL import Image

from tests.support.grey_photos import levels, open_folder, write
from tf_spot.errors import UserError


def test_flat_folder_has_no_labels_and_no_test_split(tmp_path):
    write(tmp_path / "shots", *range(6))
    source = open_folder(tmp_path / "shots")
    assert (source.name, source.spec) == ("shots", f"folder:{tmp_path / 'shots'}")
    assert (source.has_labels, source.has_test, source.class_names) == (False, False, None)
    assert source.count("train") == 6
    assert levels(source.images("train", 4)) == [0, 1, 2, 3, 4, 5]
    with pytest.raises(UserError, match="has no labels"):
        source.labelled("train", 4)
    with pytest.raises(UserError, match=r"no split 'test'; allowed: unlabelled, held_out, train"):
        source.labelled("test", 4)


@pytest.mark.parametrize("test_name", ["val", "test"])
def test_train_and_test_folders_by_class(tmp_path, test_name):
    write(tmp_path / "train" / "cat", 10, 20)
    write(tmp_path / "train" / "ant", 30)
    write(tmp_path / "train" / "bee", 50)
    write(tmp_path / test_name / "cat", 40)
    write(tmp_path / test_name / "ant", 60)
    source = open_folder(tmp_path)
    assert source.class_names == ["ant", "bee", "cat"]
    (train,) = source.labelled("train", 8)
    assert levels([train[0]]) == [30, 50, 10, 20] and train[1].numpy().tolist() == [0, 1, 2, 2]
    assert train[1].dtype == tf.int32 and train[0].dtype == tf.float32
    (test,) = source.labelled("test", 8)
    assert levels([test[0]]) == [60, 40] and test[1].numpy().tolist() == [0, 2]
    assert source.has_test and source.count("test") == 2


def test_a_class_folder_gives_up_a_stable_fifth_for_testing(tmp_path):
    for name in ("a", "b"):
        write(tmp_path / name, *range(100))
    source = open_folder(tmp_path)
    photos = {
        split: [(level, int(label)) for images, labels in source.labelled(split, 32)
                for level, label in zip(levels([images]), labels, strict=True)]
        for split in ("train", "test")
    }  # fmt: skip
    assert 20 < len(photos["test"]) < 60  # binomial(200, 1/5), 4 standard deviations
    assert not set(photos["train"]) & set(photos["test"])
    assert len(set(photos["train"]) | set(photos["test"])) == 200
    write(tmp_path / "a", *range(100, 120))  # more photos do not move those there were
    again = [(level, int(label)) for images, labels in open_folder(tmp_path).labelled("test", 32)
             for level, label in zip(levels([images]), labels, strict=True) if level < 100]  # fmt: skip
    assert again == photos["test"]


def test_hidden_and_other_files_are_passed_over(tmp_path):
    write(tmp_path / "a", 1)
    write(tmp_path / "b", 2)
    write(tmp_path / ".hidden", 3)
    (tmp_path / "a" / "notes.txt").write_text("x")
    (tmp_path / "a" / "._001.png").write_text("x")
    Image.new("L", (10, 10), 4).save(tmp_path / "a" / "LOUD.PNG")
    (tmp_path / "a" / "loop").symlink_to(tmp_path, target_is_directory=True)
    source = open_folder(tmp_path)
    splits = ("train", "test") if source.has_test else ("train",)
    assert source.class_names == ["a", "b"]
    assert sorted(sum((levels(source.images(split, 8)) for split in splits), [])) == [1, 2, 4]


def test_photos_beside_class_folders_mean_no_labels(tmp_path):
    write(tmp_path / "a", 1)
    write(tmp_path / "b", 2)
    write(tmp_path, 3)
    source = open_folder(tmp_path)
    assert not source.has_labels and sorted(levels(source.images("train", 8))) == [1, 2, 3]


def test_the_fingerprint_follows_names_and_sizes(tmp_path):
    write(tmp_path, 1, 2)
    before = open_folder(tmp_path).fingerprint
    assert open_folder(tmp_path).fingerprint == before
    Image.new("L", (50, 10), 2).save(tmp_path / "002.png")
    changed = open_folder(tmp_path).fingerprint
    write(tmp_path, 3)
    assert len({before, changed, open_folder(tmp_path).fingerprint}) == 3


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda root: root / "gone", "must be a folder; received: .*gone, missing"),
        (lambda root: (root / "a.png").write_text("") and root or root / "a.png", "a file"),
        (lambda root: root, "no files at all"),
        (lambda root: ((root / "a.txt").write_text("x"), (root / "b.txt").write_text("x"), root)[-1],
         r"2 other files \(2 .txt\)"),
        (lambda root: ((root / "a.png").write_text("x"), root)[-1], "received 1 that cannot; a.png: cannot identify"),
    ],
)  # fmt: skip
def test_missing_empty_and_unreadable_sources(tmp_path, make, message):
    with pytest.raises(UserError, match=message) as caught:
        open_folder(make(tmp_path))
    assert "\n" not in str(caught.value)


def test_a_folder_that_may_not_be_read(tmp_path, monkeypatch):
    write(tmp_path / "a", 1)
    scan = os.scandir

    def refuse(path):  # root may read everything, so permissions alone would not do
        if str(path).endswith("a"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(UserError, match="must be readable; received: .*Permission denied"):
        open_folder(tmp_path)


def test_classes_of_test_and_train_must_fit(tmp_path):
    write(tmp_path / "train" / "a", 1)
    write(tmp_path / "train" / "b", 1)
    write(tmp_path / "val" / "a", 1)
    write(tmp_path / "val" / "c", 1)
    with pytest.raises(UserError, match=r"one of train \(a, b\); received: c"):
        open_folder(tmp_path)
    write(tmp_path / "test", 1)  # flat, and goes before val
    with pytest.raises(UserError, match="train with 2 classes and test with 0"):
        open_folder(tmp_path)
