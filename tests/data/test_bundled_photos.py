"""photos: patches of the photos that scikit-learn and scikit-image install."""

from __future__ import annotations

import socket

import numpy as np
import pytest

from tf_spot.data import bundled_photos as photos
from tf_spot.data import load
from tf_spot.data.bundled_photos import TEST_COLUMNS, TEST_GRID, TRAIN_COLUMNS, TRAIN_GRID, PhotoPatches
from tf_spot.errors import UserError


@pytest.fixture(scope="module")
def source():
    return load("photos", image_size=32)


def test_splits_and_labels(source):
    assert source.name == "photos" and len(source.class_names) == 10 and source.has_test and source.has_labels
    assert source.count("train") == 2560 and source.count("unlabelled") + source.count("held_out") == 2560
    labels = np.concatenate([labels for _, labels in source.labelled("train", 512)])
    assert np.bincount(labels).tolist() == [256] * 10  # no photo dominates
    assert np.bincount(np.concatenate([labels for _, labels in source.labelled("test", 512)])).tolist() == [40] * 10


def test_no_pixel_is_both_trained_and_tested_on():
    shapes = [(300, 451), (512, 512), (427, 640), (1411, 1411), (160, 160)]
    blank = [np.zeros((*shape, 3), np.uint8) for shape in shapes]
    train, test = PhotoPatches(blank, TRAIN_COLUMNS, TRAIN_GRID), PhotoPatches(blank, TEST_COLUMNS, TEST_GRID)
    ends, starts = {}, {}
    for images in (train, test):
        for index in range(len(images)):
            photo, top, left, side = images.window(index)
            assert 0 <= top and top + side <= shapes[photo][0] and 0 <= left and left + side <= shapes[photo][1]
            assert images.labels[index] == photo
            if images is train:
                ends[photo] = max(ends.get(photo, 0), left + side)
            else:
                starts[photo] = min(starts.get(photo, 10**9), left)
    for photo, (_, width) in enumerate(shapes):
        assert ends[photo] == round(0.7 * width) and starts[photo] == round(0.75 * width)


def test_patches_differ_and_are_cut_where_they_say():
    photo = np.random.default_rng(0).integers(0, 256, (100, 150, 3), np.uint8)
    patches = PhotoPatches([photo], TRAIN_COLUMNS, TRAIN_GRID)
    assert len({patches.name(index) for index in range(256)}) == 256
    _, top, left, side = patches.window(77)
    assert side == 20 and (patches.read(77) == photo[top : top + 20, left : left + 20]).all()


@pytest.mark.parametrize("image_size", [32, 64])
def test_patches_have_more_pixels_than_the_image_but_not_many_more(image_size):
    images = load("photos", image_size=image_size).pools()["train"]
    sides = {images.window(index).side for index in range(len(images))}
    assert max(sides) <= 2 * image_size and min(sides) >= 0.9 * image_size


def test_no_network_and_the_same_every_time(source, monkeypatch):
    def refuse(*_):
        raise AssertionError("no network")

    monkeypatch.setattr(socket, "socket", refuse)
    again = load("photos", image_size=32)
    assert again.fingerprint == source.fingerprint
    one, two = (next(iter(s.unlabelled(16, seed=1))).numpy() for s in (source, again))
    assert (one == two).all() and one.std() > 0.3


def test_a_missing_photo_is_one_clear_error(monkeypatch):
    monkeypatch.setitem(photos.PHOTOS, "astronaut", ("skimage", "data/no-such.png"))
    with pytest.raises(UserError, match="no-such.png of skimage"):
        load("photos", image_size=32)
