"""Augmentation: every range of DataConfig, determinism, and the test view."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from tf_spot.config import PAPER
from tf_spot.data.augmentation import augment, center, crop, recolour, to_images
from tf_spot.visualization.pictures import to_uint8

STILL = dataclasses.replace(
    PAPER.data, crop_area_min=1.0, crop_aspect_min=1.0, flip=False, brightness=0.0, saturation=0.0
)
RAMP = np.stack(np.broadcast_arrays(np.arange(64)[:, None] * 2, np.arange(64)[None] * 2, 100), -1).astype(np.uint8)


def of_seeds(function, count):
    """What `function` makes of each of `count` seeds, as one array (or tuple of arrays)."""
    seeds = tf.data.Dataset.range(count).map(lambda i: function(tf.stack([tf.constant(7, tf.int64), i])))
    return next(seeds.batch(count).as_numpy_iterator())


def views(photo, config, count=400, image_size=16):
    """float32 (count, image_size, image_size, 3), one view a seed."""
    return of_seeds(lambda seed: augment(photo, seed, image_size, config), count)


def crops(config, count=400):
    """Height and width of each crop as shares of the photo, read off the ramp's colours."""
    images, _ = of_seeds(lambda seed: crop(RAMP, seed, 64, config), count)
    top, bottom = images[:, 8, 32, 0], images[:, 56, 32, 0]
    left, right = images[:, 32, 8, 1], images[:, 32, 56, 1]
    return (bottom - top) / 96, (right - left) / 96  # 48 pixels of 2 grey values a pixel when the crop is the whole


def test_scaling_to_images_and_back_keeps_every_level():
    levels = np.arange(256, dtype=np.uint8)
    images = to_images(levels.astype(np.float32))
    assert images.dtype == np.float32 and (images[0], images[-1]) == (-1, 1)
    np.testing.assert_array_equal(to_images(tf.cast(levels, tf.float32)), images)
    np.testing.assert_array_equal(to_uint8(images), levels)


def test_nothing_varied_is_the_photo_itself():
    images = views(RAMP, STILL, count=8, image_size=64)
    assert images.shape == (8, 64, 64, 3) and images.dtype == np.float32
    np.testing.assert_allclose(images, np.broadcast_to(RAMP / 127.5 - 1, images.shape), atol=1e-5)


def test_the_same_seed_gives_the_same_image_and_another_another():
    one, two = views(RAMP, PAPER.data, count=20), views(RAMP, PAPER.data, count=20)
    assert (one == two).all()
    assert len(np.unique(one.reshape(20, -1), axis=0)) == 20
    assert -1 <= one.min() and one.max() <= 1


def test_area_of_the_crop():
    """Square crops of 0.333 to 1: every size comes up, none smaller."""
    heights, widths = crops(dataclasses.replace(STILL, crop_area_min=0.333))
    areas = heights * widths
    assert 0.28 < areas.min() < 0.4 and 0.9 < areas.max() < 1.02  # whole pixels, and resampling at the border
    assert crops(dataclasses.replace(STILL, crop_area_min=0.02), 200)[0].min() < 0.3


def test_shape_of_the_crop():
    heights, widths = crops(dataclasses.replace(STILL, crop_area_min=0.333, crop_aspect_min=0.75))
    aspects = widths / heights
    assert 0.7 < aspects.min() < 0.8 and 1.25 < aspects.max() < 1.45


def test_both_ways_of_resizing_come_up():
    """Doubling a step: bicubic overshoots it, bilinear does not."""
    step = np.zeros((8, 8, 3), np.uint8)
    step[:, 4:] = 200
    images, _ = of_seeds(lambda seed: crop(step, seed, 16, STILL), 200)
    assert 70 < (images.max(axis=(1, 2, 3)) > 200.5).sum() < 130  # binomial(200, 1/2), 4 standard deviations


def test_flip_half_of_the_time():
    images = views(RAMP, dataclasses.replace(STILL, flip=True))
    flipped = images[:, 8, 0, 1] > images[:, 8, -1, 1]
    assert 160 < flipped.sum() < 240  # binomial(400, 1/2), 4 standard deviations
    assert not (views(RAMP, STILL, 50)[:, 8, 0, 1] > 0).any()


def test_brightness():
    grey = np.full((8, 8, 3), 128, np.uint8)
    shifts = (views(grey, dataclasses.replace(STILL, brightness=32 / 255))[:, 0, 0, 0] + 1) * 127.5 - 128
    assert -32 <= shifts.min() < -30 and 30 < shifts.max() <= 32.001 and abs(shifts.mean()) < 4


def test_saturation():
    """max 200, min 100: the factor is the distance of the two over 100."""
    colour = np.broadcast_to(np.array([200, 150, 100], np.uint8), (8, 8, 3))
    images = (views(colour, dataclasses.replace(STILL, saturation=0.5))[:, 0, 0] + 1) * 127.5
    factors = (images[:, 0] - images[:, 2]) / 100
    assert 0.5 - 1e-3 <= factors.min() < 0.52 and 1.48 < factors.max() <= 1.5 + 1e-3
    np.testing.assert_allclose(images[:, 0], 200, atol=1e-3)  # the largest channel stays


@pytest.mark.parametrize("shift_first", [True, False])
def test_colours_equal_tensorflows_own(shift_first):
    """Values that leave [0, 1] on the way included."""
    images = np.random.default_rng(0).uniform(0, 255, (6, 5, 5, 3)).astype(np.float32)
    draws = np.random.default_rng(1).uniform(size=(6, 3)).astype(np.float32)
    draws[:, 2] = 0.1 if shift_first else 0.9
    config = dataclasses.replace(PAPER.data, brightness=0.4, saturation=0.9)
    result = recolour(images, draws, config)
    for image, draw, got in zip(images / 255, draws, result, strict=True):
        shift, factor = (2 * draw[0] - 1) * 0.4, 1 + (2 * draw[1] - 1) * 0.9
        if shift_first:
            wanted = tf.image.adjust_saturation(image + shift, factor)
        else:
            wanted = tf.image.adjust_saturation(image, factor) + shift
        np.testing.assert_allclose(got, np.clip(2 * wanted - 1, -1, 1), atol=1e-4)


def test_both_orders_of_colour_changes_come_up():
    _, draws = of_seeds(lambda seed: crop(RAMP, seed, 16, STILL), 200)
    assert draws.shape == (200, 3)
    assert 70 < (draws[:, 2] < 0.5).sum() < 130
    assert np.abs(np.corrcoef(draws.T) - np.eye(3)).max() < 0.3  # one draw does not decide another


def test_test_view_is_the_middle():
    """96 pixels, 0.85: 82 pixels from the 7th on (paper's code), here kept at their size."""
    photo = np.random.default_rng(0).integers(0, 256, (96, 96, 3), np.uint8)
    np.testing.assert_allclose(center(photo, 82, PAPER.data), photo[7:89, 7:89] / 127.5 - 1, atol=1e-5)
    whole = dataclasses.replace(PAPER.data, center_crop=1.0)
    np.testing.assert_allclose(center(photo, 96, whole), photo / 127.5 - 1, atol=1e-5)


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (3, 2)])
def test_the_smallest_photos(shape):
    photo = np.full((*shape, 3), 255, np.uint8)
    assert augment(photo, tf.constant((0, 0), tf.int64), 16, PAPER.data).shape == (16, 16, 3)
    np.testing.assert_allclose(center(photo, 16, PAPER.data), 1.0, atol=1e-5)
