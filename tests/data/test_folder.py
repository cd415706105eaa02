"""folder:PATH, and the streams of a source whose photos can be read in any order."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorflow.python.framework import config

from tf_spot.config import PAPER
from tf_spot.data import load
from tf_spot.data.exit_guard import Reading
from tf_spot.errors import UserError

STILL = dataclasses.replace(
    PAPER.data, crop_area_min=1.0, crop_aspect_min=1.0, flip=False, brightness=0.0, saturation=0.0, center_crop=1.0
)


def write(folder: Path, *levels: int) -> None:
    """One grey photo a level: the level tells which photo an image was made from."""
    folder.mkdir(parents=True, exist_ok=True)
    for level in levels:
        Image.new("L", (10, 10), level).save(folder / f"{level:03}.png")


def levels(batches) -> list[int]:
    """The grey level of every image of the batches."""
    return [int(round(float(image[0, 0, 0] + 1) * 127.5)) for batch in batches for image in np.asarray(batch)]


def open_folder(path: Path, **kwargs):
    return load(f"folder:{path}", image_size=8, **{"config": STILL, **kwargs})


# --- layouts -------------------------------------------------------------------------------------------------------


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


@pytest.mark.parametrize("spec", ["", "photo", "photos:x", "folder", "folder:", "zip:a"])
def test_unknown_forms(spec):
    forms = "photos, folder:PATH, stl10:PATH, places:PATH, tfds:NAME, shards:PATH"
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
    assert [line.split(": ")[0] for line in sorted(source.bad_files)] == ["a/001.png", "b/gone.png"]
    assert "cannot identify image file" in sorted(source.bad_files)[0]
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


def test_held_out_settings(tmp_path):
    write(tmp_path, *range(100))

    def held_out(**changes):
        return set(levels(open_folder(tmp_path, config=dataclasses.replace(STILL, **changes)).held_out(50)))

    assert len(held_out(held_out_share=0.1)) == 10
    assert len(held_out(held_out_share=0.1, held_out_images=3)) == 3
    assert held_out(held_out_share=0.0) == set()
    before = held_out(held_out_share=0.2)
    (tmp_path / "000.png").unlink()
    assert len(before & held_out(held_out_share=0.2)) >= 18  # one photo less moves one at most


def test_without_labels_the_held_out_label_is_minus_one(tmp_path):
    write(tmp_path, *range(40))
    ((_, labels),) = open_folder(tmp_path).held_out_labelled(8)
    assert labels.numpy().tolist() == [-1, -1]  # 0.05 of 40


# --- at exit ---------------------------------------------------------------------------------------------------------


def test_no_photo_is_read_while_python_exits():
    reading = Reading()
    reader = threading.Thread(target=lambda: read_slowly(reading))
    started = time.monotonic()
    reader.start()
    time.sleep(0.05)
    reading.stop(patience=0.02)
    assert time.monotonic() - started >= 0.2
    with pytest.raises(RuntimeError), reading.photo():
        pass
    reader.join()


def read_slowly(reading):
    with reading.photo():
        time.sleep(0.2)


@pytest.mark.slow
def test_an_unfinished_stream_lets_python_exit(tmp_path):
    """Readers are at work when the script ends; TensorFlow has been seen to wait for them for ever."""
    write(tmp_path, *range(40))
    script = """
import sys, time
from tf_spot.data import folder, load
read = folder.read_image
folder.read_image = lambda *arguments: (time.sleep(0.05), read(*arguments))[1]
stream = iter(load(sys.argv[1], image_size=32).unlabelled(16))
print(next(stream).shape[0])
"""
    command = [sys.executable, "-c", script, f"folder:{tmp_path}"]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], timeout=300, capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, "16")
