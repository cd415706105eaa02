"""Sampling between pixels: against exact positions, crops, turns, smooth moves, gradients."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tests.support.pretext_task import noise, positions
from tf_spot.baselines import resampling

NUMBERS = np.random.default_rng(0)


def test_an_image_of_positions_gives_the_points_themselves() -> None:
    points = tf.constant(NUMBERS.uniform(0, 7, (3, 4, 5, 2)), tf.float32)
    np.testing.assert_allclose(resampling.sampled(tf.repeat(positions(8), 3, axis=0), points), points, atol=1e-5)


def test_outside_the_nearest_border_pixel_counts() -> None:
    points = tf.constant([[[[-3.0, 2.0], [9.0, 9.0], [7.0, -1.0]]]])
    sampled = resampling.sampled(positions(8), points)
    np.testing.assert_allclose(sampled[0, 0], [[0, 2], [7, 7], [7, 0]], atol=1e-6)


def test_a_crop_at_whole_pixels_is_the_crop() -> None:
    images = noise(NUMBERS, 2, 10, 10, 3)
    points = resampling.crop_points(tf.constant([[1.0, 3.0], [4.0, 0.0]]), tf.zeros(2), 6)
    crops = resampling.sampled(images, points)
    np.testing.assert_allclose(crops[0], images[0, 1:7, 3:9], atol=1e-6)
    np.testing.assert_allclose(crops[1], images[1, 4:10, 0:6], atol=1e-6)


def test_a_quarter_turn_about_the_middle_is_rot90() -> None:
    images = noise(NUMBERS, 1, 8, 8, 3)
    points = resampling.crop_points(tf.constant([[1.0, 1.0]]), tf.constant([np.pi / 2]), 6)
    expected = tf.image.rot90(images[:, 1:7, 1:7])
    turned = resampling.sampled(images, points)
    backwards = tf.image.rot90(images[:, 1:7, 1:7], 3)
    assert min(float(tf.reduce_max(tf.abs(turned - one))) for one in (expected, backwards)) < 1e-5


def test_the_gradient_by_the_images_adds_up_to_the_points() -> None:
    """Every point spends a weight of 1 on four pixels."""
    images = noise(NUMBERS, 1, 8, 8, 1)
    points = tf.constant(NUMBERS.uniform(0, 7, (1, 3, 5, 2)), tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(images)
        total = tf.reduce_sum(resampling.sampled(images, points))
    assert float(tf.reduce_sum(tape.gradient(total, images))) == pytest.approx(15, rel=1e-5)


def test_a_smooth_field_keeps_its_size_and_does_not_jump() -> None:
    moves = tf.constant(NUMBERS.uniform(-2, 2, (4, 4, 4, 2)), tf.float32)
    field = resampling.smooth_field(moves, 26).numpy()
    assert field.shape == (4, 26, 26, 2) and 1 < np.abs(field).max() < 3
    assert np.abs(np.diff(field, axis=1)).max() < 1.2
    same = resampling.smooth_field(tf.ones((1, 4, 4, 2)), 26)
    np.testing.assert_allclose(same, 1, atol=1e-5)
