"""Which subfolders are splits, which are classes, and what is refused as neither for sure."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from tests.support.grey_photos import levels, open_folder, write
from tf_spot.data.folder_splits import OTHER_PICTURES
from tf_spot.data.images import EXTENSIONS
from tf_spot.errors import UserError


def classes(folder: Path, *levels: int) -> None:
    """Write photos of two classes."""
    for name, level in zip("ab", levels, strict=True):
        write(folder / name, level)


@pytest.mark.parametrize(
    ("train", "test"),
    [("Train", "Test"), ("TRAIN", "VAL"), ("training", "valid"), ("train", "validation"), ("Training", "Testing")],
)
def test_common_names_of_splits_are_understood_in_any_case(train: str, test: str, tmp_path: Path) -> None:
    classes(tmp_path / train, 1, 2)
    classes(tmp_path / test, 3, 4)
    source = open_folder(tmp_path)
    assert source.class_names == ["a", "b"] and source.counts() == {"train": 2, "test": 2}
    assert levels(source.images("test", 4)) == [3, 4]
    assert source.photo_path("train", 0) == f"{train}/a/001.png", "the path within the source, not that in the split"
    assert source.photo_path("test", 1) == f"{test}/b/004.png"


def test_test_goes_before_validation(tmp_path: Path) -> None:
    for number, name in enumerate(("train", "Valid", "test")):
        classes(tmp_path / name, 2 * number, 2 * number + 1)
    assert levels(open_folder(tmp_path).images("test", 4)) == [4, 5]


@pytest.mark.parametrize(
    ("folders", "says"),
    [
        (["train/a", "train/b", "Train/a", "Train/b"], "one folder per split; received: .* with Train and train"),
        (["train/a", "train/b", "val/a", "valid/a"], "one folder per split; received: .* with val and valid"),
        (["test/a", "test/b", "valid/a"], "need a folder `train` beside theirs; received: .* with test alone"),
        (["cat", "dog", "test"], "need a folder `train`"),
        (["train/a", "train/b", "extra/a"], "no other folders of photos; received: .* with extra"),
        (["cat", "dog", "train"], "no other folders of photos; received: .* with cat, dog; .*rename `train`"),
        (["train_images", "test_images"], "must be named `train` and `test` or `val`; .* train_images and test_images"),
        (["train2017/a", "val2017/a"], "must be named `train`"),
        (["set/train/a", "set/test/a"], r"PATH/train/CLASS; received: .* with set/train; give .*/set"),
        (["cat/train", "cat/val", "dog/train"], r"splits must stand above the classes"),
    ],
)
def test_what_is_doubtful_is_refused(folders: list[str], says: str, tmp_path: Path) -> None:
    for number, folder in enumerate(folders):
        write(tmp_path / folder, number)
    with pytest.raises(UserError, match=says) as caught:
        open_folder(tmp_path)
    assert "\n" not in str(caught.value)


def test_folders_without_photos_may_stand_beside_the_splits(tmp_path: Path) -> None:
    classes(tmp_path / "train", 1, 2)
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "a.xml").write_text("x")
    write(tmp_path / ".hidden", 3)
    assert open_folder(tmp_path).class_names == ["a", "b"]


def test_the_same_photos_under_two_classes_or_splits_are_refused(tmp_path: Path) -> None:
    classes(tmp_path / "train", 1, 2)
    (tmp_path / "train" / "A").symlink_to(tmp_path / "train" / "a")  # comes first, and would take the photos of a
    with pytest.raises(UserError, match="must have one name; received: .*train/a, a link to .*train/A"):
        open_folder(tmp_path)
    (tmp_path / "train" / "A").unlink()
    (tmp_path / "test").symlink_to(tmp_path / "train")
    with pytest.raises(UserError, match="must have one name; received: .*test, a link to .*train"):
        open_folder(tmp_path)
    (tmp_path / "test").unlink()
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "b").symlink_to(tmp_path / "train" / "b")
    with pytest.raises(UserError, match="must have one name; received: .*test/b, a link to .*train/b"):
        open_folder(tmp_path)


def test_a_link_within_a_class_brings_no_photo_twice(tmp_path: Path) -> None:
    classes(tmp_path, 1, 2)
    write(tmp_path / "a" / "more", 3)
    (tmp_path / "a" / "again").symlink_to(tmp_path / "a" / "more")
    source = open_folder(tmp_path)
    assert sum(source.counts().values()) == 3


def test_pictures_that_are_not_read_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(tmp_path, 1)
    for name in ("a.heic", "b.HEIC", "c.tif", "notes.txt"):
        (tmp_path / name).write_text("x")
    with caplog.at_level(logging.WARNING):
        open_folder(tmp_path)
    assert f"pictures skipped in {tmp_path}: 2 .heic, 1 .tif; convert them to JPEG or PNG" in caplog.text
    assert not set(OTHER_PICTURES) & set(EXTENSIONS)
