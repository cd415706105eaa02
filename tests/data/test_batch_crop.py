"""Crops of a batch: bit for bit those that TensorFlow's kernels make photo by photo."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tf_spot.config import PAPER
from tf_spot.data.augmentation import Crop, draw_crop, resize_crop
from tf_spot.data.batch_crop import crop_batch

SIZE, COUNT = 16, 24
# Larger and smaller than the result, wide and high, and so small that every pixel is at a border.
SHAPES = [(40, 56), (9, 31), (100, 12), (3, 2), (1, 1), (SIZE, SIZE)]


def drawn(shape: tuple[int, int], count: int = COUNT) -> list[Crop]:
    of_photo = tf.constant((*shape, 3), tf.int64)
    return [draw_crop(of_photo, tf.constant((5, i), tf.int64), PAPER.data) for i in range(count)]


def batch_of(crops: list[Crop]) -> Crop:
    return Crop(*(tf.stack(values) for values in zip(*crops, strict=True)))


@pytest.mark.parametrize("graph", [lambda function: function, tf.function], ids=["eager", "graph"])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_batch_has_the_bits_of_its_photos(shape: tuple[int, int], graph: Callable[..., Any]) -> None:
    photo = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    crops = drawn(shape)
    assert len({(bool(one.bicubic), bool(one.flip)) for one in crops}) == 4, "both ways of resizing, flipped and not"
    expected = np.stack([resize_crop(photo, one, SIZE) for one in crops])
    offsets, strides = tf.zeros(COUNT, tf.int64), tf.fill([COUNT], tf.constant(shape[1], tf.int64))
    function = graph(lambda *arguments: crop_batch(*arguments, SIZE))
    np.testing.assert_array_equal(function(photo.reshape(-1, 3), offsets, strides, batch_of(crops)), expected)


def test_photos_lie_anywhere_and_their_rows_may_be_filled_up() -> None:
    numbers = np.random.default_rng(1)
    pixels = numbers.integers(0, 256, (2000, 3), np.uint8)
    first, second = pixels[100 : 100 + 10 * 16].reshape(10, 16, 3), pixels[900 : 900 + 20 * 24].reshape(20, 24, 3)
    crops = [drawn((10, 13))[3], drawn((20, 24))[4]]
    found = crop_batch(
        pixels, tf.constant((100, 900), tf.int64), tf.constant((16, 24), tf.int64), batch_of(crops), SIZE
    )
    np.testing.assert_array_equal(found[0], resize_crop(first[:, :13], crops[0], SIZE))
    np.testing.assert_array_equal(found[1], resize_crop(second, crops[1], SIZE))
