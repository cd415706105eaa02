"""The streams of a source whose photos can be read in any order, and photos that cannot be read."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorflow.python.framework import config

from tests.support.grey_photos import STILL, levels, open_folder, write
from tf_spot.config import PAPER
from tf_spot.data import load
from tf_spot.errors import UserError


@pytest.mark.parametrize("spec", ["", "photo", "photos:x", "folder", "folder:", "zip:a"])
def test_unknown_forms(spec):
    forms = "photos, folder:PATH, stl10:PATH, places:PATH, tfds:NAME, shards:PATH, list:FILE, hf:NAME, "
    forms += "wds:PATTERN"
    with pytest.raises(UserError, match=f"allowed: {forms}; received"):
        load(spec, image_size=8)


# --- files that cannot be read -------------------------------------------------------------------------------------


def test_bad_files_are_left_out_of_evaluation_and_listed_once(tmp_path):
    write(tmp_path / "train" / "a", 1, 2)
    write(tmp_path / "train" / "b", 3)
    write(tmp_path / "val" / "a", 4)
    write(tmp_path / "val" / "b", 5)
    (tmp_path / "train" / "a" / "001.png").write_bytes(b"broken")
    (tmp_path / "train" / "b" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    source = open_folder(tmp_path)
    for _ in range(2):
        ((images, labels),) = source.labelled("train", 8)
        assert levels([images]) == [2, 3] and labels.numpy().tolist() == [0, 1]
    assert [line.split(": ")[0] for line in sorted(source.bad_files)] == ["train/a/001.png", "train/b/gone.png"]
    assert "cannot identify it as JPEG, PNG" in sorted(source.bad_files)[0]
    assert source.count("train") == 4


def test_bad_files_are_replaced_in_training(tmp_path):
    write(tmp_path, *range(12))
    (tmp_path / "005.png").write_bytes(b"broken")
    source = open_folder(tmp_path, config=dataclasses.replace(STILL, held_out_share=0.0))
    seen = levels(source.unlabelled(4, num_steps=6))
    assert seen == levels(source.unlabelled(4, num_steps=6))
    assert len(source.bad_files) == 1 and source.bad_files[0].startswith("005.png: ")
    # the 6th photo is missing, so the 7th comes up twice an epoch
    assert sorted(seen[:12]) == [0, 1, 2, 3, 4, 6, 6, 7, 8, 9, 10, 11]


def test_strict_makes_a_bad_file_an_error(tmp_path):
    write(tmp_path, *range(5))
    open_folder(tmp_path, strict=True)
    for name in ("001.png", "003.png"):
        (tmp_path / name).write_bytes(b"broken")
    with pytest.raises(UserError, match=r"2 cannot be read, the first is 00[13].png: cannot identify") as caught:
        open_folder(tmp_path, strict=True)
    assert "\n" not in str(caught.value)


# --- the training stream -------------------------------------------------------------------------------------------


def test_every_epoch_shows_every_photo_once_in_its_own_order(tmp_path):
    write(tmp_path, *range(12))
    source = open_folder(tmp_path, config=dataclasses.replace(STILL, held_out_share=0.0))
    seen = np.reshape(levels(source.unlabelled(4, num_steps=9)), (3, 12))
    assert (np.sort(seen, axis=1) == np.arange(12)).all()
    assert len(np.unique(seen, axis=0)) == 3 and (seen != np.arange(12)).any(axis=1).all()


def test_batches_may_span_two_epochs(tmp_path):
    write(tmp_path, *range(6))
    source = open_folder(tmp_path, config=dataclasses.replace(STILL, held_out_share=0.0))
    seen = levels(source.unlabelled(4, num_steps=3))
    assert sorted(seen[:6]) == sorted(seen[6:]) == list(range(6))


@pytest.mark.parametrize("first_step", [1, 2, 4, 5])
def test_a_stream_goes_on_exactly_where_another_stopped(tmp_path, first_step):
    """10 photos in batches of 4: steps 2 and 4 begin in the middle of an epoch."""
    write(tmp_path, *range(0, 200, 20))
    source = open_folder(tmp_path, config=dataclasses.replace(PAPER.data, held_out_share=0.0))
    whole = [batch.numpy() for batch in source.unlabelled(4, seed=5, num_steps=7)]
    rest = [batch.numpy() for batch in source.unlabelled(4, seed=5, first_step=first_step, num_steps=7 - first_step)]
    assert all((one == two).all() for one, two in zip(whole[first_step:], rest, strict=True))


@pytest.mark.parametrize("first_step", [0, 3])
def test_workers_share_every_batch(tmp_path, first_step):
    """10 photos in batches of 6, for three workers: steps begin and end in the middle of an epoch."""
    write(tmp_path, *range(0, 200, 20))
    source = open_folder(tmp_path, config=dataclasses.replace(PAPER.data, held_out_share=0.0))
    whole = source.unlabelled(6, seed=5, first_step=first_step, num_steps=4)
    shares = [source.unlabelled(6, seed=5, first_step=first_step, num_steps=4, share=(i, 3)) for i in range(3)]
    for batch, *parts in zip(whole, *shares, strict=True):
        np.testing.assert_array_equal(batch, np.concatenate(parts))


def test_seeds(tmp_path):
    write(tmp_path, *range(0, 200, 10))

    def first(source, **kwargs):
        return next(source.unlabelled(8, num_steps=1, **kwargs).as_numpy_iterator())

    one = first(open_folder(tmp_path), seed=1)
    assert (one != first(open_folder(tmp_path), seed=2)).any()
    tf.random.set_seed(99)  # the process's own state has no part in it
    assert (one == first(open_folder(tmp_path, seed=1))).all()


def test_shapes_and_length(tmp_path):
    write(tmp_path, *range(9))
    source = load(f"folder:{tmp_path}", image_size=16)
    endless = source.unlabelled(4)
    assert endless.element_spec == tf.TensorSpec((4, 16, 16, 3), tf.float32)
    assert endless.cardinality() == tf.data.INFINITE_CARDINALITY
    assert source.unlabelled(4, num_steps=5).cardinality() == 5
    assert [batch.shape[0] for batch in source.images("train", 4)] == [4, 4, 1]
    with pytest.raises(UserError, match="batch size 10; received 9 photos"):
        source.unlabelled(10)


@pytest.mark.parametrize("first_step", [0, 2])
def test_indices_say_which_photo_each_image_is_made_of(tmp_path, first_step):
    """Photo i has the grey level 20 i; 10 photos in batches of 4, so batches span epochs."""
    write(tmp_path, *range(0, 200, 20))
    source = open_folder(tmp_path, config=dataclasses.replace(STILL, held_out_share=0.0))
    seen = levels(source.unlabelled(4, seed=5, first_step=first_step, num_steps=5))
    indices = source.unlabelled_indices(4, seed=5, first_step=first_step)
    assert indices.element_spec == tf.TensorSpec((4,), tf.int32)
    assert [20 * index for index in np.concatenate(list(indices.take(5).as_numpy_iterator()))] == seen
    with pytest.raises(UserError, match="batch size 11; received 10 photos"):
        source.unlabelled_indices(11)


def test_indices_are_of_the_split_that_is_trained_on(tmp_path):
    write(tmp_path, *range(12))
    source = open_folder(tmp_path, config=dataclasses.replace(STILL, held_out_share=0.25))
    batches = list(source.unlabelled_indices(3).take(source.count("unlabelled") // 3).as_numpy_iterator())
    assert sorted(np.concatenate(batches)) == list(range(source.count("unlabelled")))


def test_the_same_bits_under_op_determinism(tmp_path):
    write(tmp_path, *range(0, 200, 20))
    source = open_folder(tmp_path, config=PAPER.data)
    before = [batch.numpy() for batch in source.unlabelled(4, num_steps=3)]
    tf.config.experimental.enable_op_determinism()
    try:
        after = [batch.numpy() for batch in source.unlabelled(4, num_steps=3)]
    finally:
        config.disable_op_determinism()  # which is not public
    assert all((one == two).all() for one, two in zip(before, after, strict=True))


# --- held-out photos -----------------------------------------------------------------------------------------------


def test_held_out_photos_never_appear_in_training(tmp_path):
    write(tmp_path / "a", *range(50))
    write(tmp_path / "b", *range(50, 100))
    source = open_folder(tmp_path, config=dataclasses.replace(STILL, held_out_share=0.2))
    train = set(levels(source.images("train", 32)))
    held_out = levels(source.held_out(8))
    assert len(held_out) == source.count("held_out") == int(0.2 * source.count("train"))
    seen = set(levels(source.unlabelled(8, num_steps=2 * 80 // 8)))
    assert not seen & set(held_out) and seen | set(held_out) == train
    assert source.count("unlabelled") == len(seen)
    for images, labels in source.held_out_labelled(8):
        assert labels.numpy().tolist() == [int(level >= 50) for level in levels([images])]


def test_without_labels_the_held_out_label_is_minus_one(tmp_path):
    write(tmp_path, *range(40))
    ((_, labels),) = open_folder(tmp_path).held_out_labelled(8)
    assert labels.numpy().tolist() == [-1, -1]  # 0.05 of 40


# --- one by one ----------------------------------------------------------------------------------------------------


def test_decoded_photos_are_neither_cropped_nor_scaled(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 9, 14, 3), np.uint8)
    for name, photo in zip("ab", pixels, strict=True):
        (tmp_path / "train" / name).mkdir(parents=True)
        Image.fromarray(photo).save(tmp_path / "train" / name / "1.png")
    (tmp_path / "train" / "b" / "0.png").write_text("no picture")
    found = list(open_folder(tmp_path).decoded("train").as_numpy_iterator())
    np.testing.assert_array_equal([photo for photo, _ in found], pixels)
    assert [label for _, label in found] == [0, 1]
    with pytest.raises(UserError, match="no split 'val'; allowed"):
        open_folder(tmp_path).decoded("val")


def test_one_photo_by_its_index_is_that_of_the_stream(tmp_path: Path) -> None:
    write(tmp_path, *range(0, 200, 40))
    source = open_folder(tmp_path)
    (images,) = source.images("train", 8)
    for index in (0, 3):
        np.testing.assert_array_equal(source.photo("train", index), images[index])
        assert source.photo_name("train", index) == f"{40 * index:03}.png"


def test_chunks_are_the_same_wherever_they_begin(tmp_path: Path) -> None:
    write(tmp_path, *range(0, 100, 10))
    source = open_folder(tmp_path)

    def indices(first: int) -> list[list[list[int]]]:
        chunks = source.in_chunks("train", 2, 4, first=first)
        return [[batch.indices.tolist() for batch in batches] for batches in chunks]

    assert indices(0) == [[[0, 1], [2, 3]], [[4, 5], [6, 7]], [[8, 9]]]
    assert indices(4) == indices(0)[1:]


@pytest.mark.parametrize("image_size", [(32, 32), "64", 0, 1.5, True, None])
def test_an_image_size_is_a_whole_number(image_size):
    with pytest.raises(UserError, match="image_size must be a whole number of pixels, 1 or more; received: "):
        load("photos", image_size=image_size)


def test_a_spec_is_text_and_photos_beside_a_folder_of_that_name_are_the_bundled_ones(tmp_path, monkeypatch, caplog):
    with pytest.raises(UserError, match=r"must be text such as 'folder:PATH'; received: PosixPath"):
        load(tmp_path, image_size=8)
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "photos", 1)
    assert load("photos", image_size=8).name == "photos"
    assert "--data photos is the bundled set; the folder photos/ here is folder:photos" in caplog.text


def test_bad_photos_of_two_splits_may_share_a_name(tmp_path):
    for split in ("train", "test"):
        for name in "ab":
            write(tmp_path / split / name, 1, 2)
        (tmp_path / split / "a" / "001.png").write_bytes(b"broken")
    source = open_folder(tmp_path)
    source_check = pytest.raises(UserError, match="2 cannot be read")
    with source_check:
        source.check()
    assert [line.split(": ")[0] for line in source.bad_files] == ["train/a/001.png", "test/a/001.png"]


def test_a_name_cannot_forge_a_line(tmp_path):
    write(tmp_path, 1)
    (tmp_path / "a.png: fine\nb\x1b[2J.png").write_bytes(b"broken")
    source = open_folder(tmp_path)
    list(source.images("train", 2))
    (line,) = source.bad_files
    assert line.startswith("a.png: fine\\nb\\x1b[2J.png: cannot identify") and line.isprintable()
