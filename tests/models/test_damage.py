"""Damage: which cells are dropped, and what they become."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tests.models.test_layers import noise
from tf_spot.models.damage import Damage


@pytest.mark.parametrize("drop_rate", [0.0, 0.3, 0.7])
def test_damage_drops_the_stated_share_of_cells(drop_rate: float) -> None:
    _, keep_mask = Damage(drop_rate)(tf.zeros((200, 6, 6, 2)), step=0)
    assert keep_mask.shape == (200, 6, 6, 1) and set(np.unique(keep_mask)) <= {0.0, 1.0}
    # 7,200 draws: a standard deviation of at most 0.006
    assert float(tf.reduce_mean(keep_mask)) == pytest.approx(1 - drop_rate, abs=0.025)
    if drop_rate:  # cell by cell and image by image, not whole rows or images
        assert np.std(keep_mask, axis=0).min() > 0.3 and np.std(keep_mask, axis=(1, 2)).min() > 0


def test_damage_drops_all_channels_of_a_cell_and_no_other_cell() -> None:
    encoding = noise(4, 6, 6, 3) + 10
    damaged, keep_mask = Damage(0.5, fill="zero")(encoding, step=0)
    np.testing.assert_array_equal(damaged, encoding * keep_mask.numpy())
    assert 0 < float(tf.reduce_mean(keep_mask)) < 1


def test_avg3_averages_the_undamaged_neighbours_inside_the_map() -> None:
    encoding = np.zeros((1, 4, 4, 1), "float32")
    encoding[0, 0, 0, 0] = 36.0
    filled = Damage(0.5).apply_mask(encoding, tf.zeros((1, 4, 4, 1)), step=0).numpy()[0, :, :, 0]
    assert filled[0, 0] == 36 / 4  # a corner has 4 cells
    assert filled[0, 1] == filled[1, 0] == 36 / 6  # an edge 6
    assert filled[1, 1] == 36 / 9
    assert filled[2, 2] == filled[0, 2] == 0
    half = np.ones((1, 4, 4, 1), "float32")
    half[0, 1, 1] = 0
    damaged = Damage(0.5).apply_mask(encoding, half, step=0).numpy()[0, :, :, 0]
    assert damaged[1, 1] == 4 and damaged[0, 0] == 36


def test_global_and_zero_fill() -> None:
    encoding = np.arange(8, dtype="float32").reshape(1, 2, 2, 2)  # channel means 3 and 4
    drop_all = tf.zeros((1, 2, 2, 1))
    np.testing.assert_allclose(Damage(0.5, "global").apply_mask(encoding, drop_all, 0)[0, 1, 0], [3, 4])
    np.testing.assert_array_equal(Damage(0.5, "zero").apply_mask(encoding, drop_all, 0), np.zeros((1, 2, 2, 2)))


def test_noise_fill_has_the_moments_of_each_map() -> None:
    encoding = np.concatenate([noise(3, 32, 32, 1) * 2 + 5, noise(3, 32, 32, 1, seed=1) * 0.5 - 1], -1)
    filled = Damage(0.5, "noise").apply_mask(encoding, tf.zeros((3, 32, 32, 1)), 0).numpy()
    np.testing.assert_allclose(filled.mean((0, 1, 2)), [5, -1], atol=0.15)
    np.testing.assert_allclose(filled.std((0, 1, 2)), [2, 0.5], rtol=0.08)
    assert abs(np.corrcoef(filled[..., 0].ravel(), encoding[..., 0].ravel())[0, 1]) < 0.1
    assert abs(np.corrcoef(filled[0, ..., 0].ravel(), filled[1, ..., 0].ravel())[0, 1]) < 0.15
    other = Damage(0.5, "noise").apply_mask(encoding, tf.zeros((3, 32, 32, 1)), 1).numpy()
    assert np.abs(filled - other).max() > 1


def test_damage_is_a_function_of_seed_and_step() -> None:
    encoding = noise(4, 8, 8, 1)
    first = Damage(0.5, seed=1)(encoding, step=tf.constant(3, tf.int64))[1].numpy()
    np.testing.assert_array_equal(first, Damage(0.5, seed=1)(encoding, step=3)[1])
    for damage, step in ((Damage(0.5, seed=1), 4), (Damage(0.5, seed=2), 3)):
        assert 0.3 < np.mean(first != damage(encoding, step=step)[1].numpy()) < 0.7


def test_damage_refuses_other_settings() -> None:
    for rate in (-0.1, 1.0):
        with pytest.raises(ValueError, match="drop_rate"):
            Damage(rate)
    with pytest.raises(ValueError, match="fill"):
        Damage(0.5, fill="black")
