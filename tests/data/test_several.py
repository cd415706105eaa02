"""Several sources as one, and paths without a kind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tests.support.grey_photos import STILL, levels, write
from tf_spot.data import Source, load
from tf_spot.errors import UserError


def opened(spec: str) -> Source:
    return load(spec, image_size=8, config=STILL)


@pytest.fixture
def labelled(tmp_path: Path) -> list[str]:
    """Two folders of classes that overlap, both called `mine`."""
    for folder, split, label, level in (
        ("a", "train", "ant", 10), ("a", "train", "bee", 20), ("a", "test", "bee", 30), ("a", "test", "ant", 35),
        ("b", "train", "bee", 40), ("b", "train", "cat", 50), ("b", "test", "cat", 60), ("b", "test", "bee", 70),
    ):  # fmt: skip
        write(tmp_path / folder / "mine" / split / label, level)
    return [f"folder:{tmp_path / name / 'mine'}" for name in "ab"]


def test_photos_of_both_and_classes_by_name(labelled: list[str]) -> None:
    source = opened(" + ".join(labelled))
    assert (source.name, source.class_names) == ("mine-1+mine-2", ["ant", "bee", "cat"])
    assert source.spec == " + ".join(labelled)
    (train,), (test,) = source.labelled("train", 8), source.labelled("test", 8)
    assert levels([train[0]]) == [10, 20, 40, 50] and train[1].numpy().tolist() == [0, 1, 1, 2]
    assert levels([test[0]]) == [35, 30, 70, 60] and test[1].numpy().tolist() == [0, 1, 1, 2]
    assert source.photo_name("train", 2) == "mine-2/bee/040.png"
    assert opened(source.spec).fingerprint == source.fingerprint != opened(labelled[0]).fingerprint
    assert source.record()["spec"] == source.spec and source.record()["counts"] == {"train": 4, "test": 4}


def test_every_photo_is_drawn_equally_often(tmp_path: Path) -> None:
    """Two passes over three photos of one folder and one of another: each of the four twice."""
    write(tmp_path / "large", 10, 20, 30)
    write(tmp_path / "small", 200)
    source = opened(f"folder:{tmp_path / 'large'} + {tmp_path / 'small'}")
    assert sorted(levels(source.unlabelled(4, num_steps=2))) == [10, 10, 20, 20, 30, 30, 200, 200]


def test_a_source_without_labels_leaves_the_union_without(labelled: list[str], tmp_path: Path) -> None:
    write(tmp_path / "flat", 90)
    source = opened(f"{labelled[0]} + folder:{tmp_path / 'flat'}")
    assert (source.has_labels, source.class_names) == (False, None)
    assert sorted(levels(source.images("train", 8))) == [10, 20, 90] and source.count("test") == 2


def test_photos_without_labels_of_one_source_are_trained_on_beside_those_of_the_others(tmp_path: Path) -> None:
    """STL-10 has a pool of its own for that, a folder has none."""
    folder = tmp_path / "stl10"
    folder.mkdir()
    for name, count in (("train", 12), ("test", 4), ("unlabeled", 6)):
        np.zeros((count, 3, 96, 96), np.uint8).tofile(folder / f"{name}_X.bin")
        if name != "unlabeled":
            np.ones(count, np.uint8).tofile(folder / f"{name}_y.bin")
    (folder / "class_names.txt").write_text("grey\nwhite\n")
    (folder / "fold_indices.txt").write_text("0 1\n" * 10)
    write(tmp_path / "flat", 90, 91)
    source = opened(f"stl10:{folder} + folder:{tmp_path / 'flat'}")
    assert (source.count("train"), source.count("unlabelled") + source.count("held_out")) == (14, 8)


def test_plain_jpeg_files_are_read_as_of_one_folder(tmp_path: Path) -> None:
    write(tmp_path / "a", 10)
    write(tmp_path / "b", 20, 30)
    (tmp_path / "b" / "020.png").rename(tmp_path / "b" / "z.png")
    tf.io.write_file(str(tmp_path / "b" / "m.jpg"), tf.io.encode_jpeg(np.full((10, 10, 3), 100, np.uint8)))
    source = opened(f"{tmp_path / 'a'} + {tmp_path / 'b'}")
    (batch,) = [batch for batch in source.in_any_order("train", 8) if len(batch.indices) == 1]  # the JPEG file
    assert abs(levels([batch.images])[0] - 100) <= 1 and source.photo_name("train", int(batch.indices[0])) == "b/m.jpg"


def test_a_bare_path_is_a_folder_or_a_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "shots", 10, 20)
    (tmp_path / "mine.csv").write_text("path\nshots/010.png\n")
    monkeypatch.chdir(tmp_path)
    assert opened("shots").spec == "folder:shots" and opened("./shots").count("train") == 2
    assert opened("mine.csv").spec == "list:mine.csv"
    assert opened("photos").spec == "photos", "the bundled ones, whatever lies here"
    write(tmp_path / "a + b", 30)
    assert opened("a + b").spec == "folder:a + b" and opened("folder:a + b").count("train") == 1


def test_mistakes_are_told(tmp_path: Path) -> None:
    write(tmp_path / "shots", 10)
    folder = f"folder:{tmp_path / 'shots'}"
    with pytest.raises(UserError, match="each source must be given once"):
        opened(f"{folder} + {folder}")
    with pytest.raises(UserError, match="unknown data source; .*list:FILE, .*; received: 'nowhere'"):
        opened("nowhere")


def test_paths_are_unique_over_both_splits(labelled: list[str], tmp_path: Path) -> None:
    write(tmp_path / "a" / "mine" / "test" / "ant", 10)
    source = opened(" + ".join(labelled))
    assert source.photo_path("train", 0) == "train/mine-1/ant/010.png"
    assert source.photo_path("test", 0) == "test/mine-1/ant/010.png"
