"""The context task: patches, gaps, jitter, dropped colours."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tests.support.pretext_task import check_draws, learn, make, noise
from tf_spot.baselines import context

NUMBERS = np.random.default_rng(0)


@pytest.mark.parametrize("size", [16, 32, 48, 64, 96])
def test_context_patches_never_touch_and_lie_in_the_image(size) -> None:
    """At least half of the gap stays for every neighbour and jitter; the neighbours are the eight around."""
    patch = context.patch_size(size)
    for extreme in (0.0, 0.9999999, None):
        jitter = tf.fill((8, 2, 2), extreme) if extreme is not None else NUMBERS.uniform(size=(8, 2, 2))
        corners = context.pair_corners(tf.range(8), tf.cast(jitter, tf.float32), size).numpy()
        assert corners.min() >= 0 and corners.max() + patch <= size
        distance = corners[:, 1] - corners[:, 0]
        gaps = np.abs(distance).max(axis=1) - patch
        assert gaps.min() >= patch // 4
        np.testing.assert_array_equal(np.sign(np.round(distance / (1.5 * patch))), context.NEIGHBOURS)


def test_context_jitter_moves_patches() -> None:
    still = context.pair_corners(tf.range(8), tf.fill((8, 2, 2), 0.5), 64)
    moved = context.pair_corners(tf.range(8), tf.zeros((8, 2, 2)), 64)
    np.testing.assert_array_equal(moved[:, 0], still[:, 0] - 2)


def test_dropped_colours_cannot_be_recovered() -> None:
    """One channel stays as it is; the others no longer depend on the photo's."""
    patches = noise(NUMBERS, 3, 8, 8, 3)
    drawn = tf.constant(NUMBERS.uniform(size=(3, 8, 8, 3)), tf.float32)
    kept = tf.constant([0, 2, 1])
    dropped = context.drop_colours(patches, kept, drawn)
    for row, channel in enumerate(kept.numpy()):
        np.testing.assert_allclose(dropped[row, ..., channel], patches[row, ..., channel], atol=1e-6)
        others = [c for c in range(3) if c != channel]
        assert np.abs(dropped.numpy()[row][..., others]).max() < 0.011  # a hundredth of a deviation below 1
    other = tf.where(tf.one_hot(kept, 3)[:, None, None] == 1, patches, noise(NUMBERS, 3, 8, 8, 3))
    np.testing.assert_allclose(context.drop_colours(other, kept, drawn), dropped, atol=1e-6)


@pytest.mark.slow
def test_context_is_learnt() -> None:
    """Chance: 1/8 of the neighbours."""
    assert learn(make("context"), 120)["pretext_accuracy"][1] > 0.22


@pytest.mark.slow
def test_draws_are_functions_of_seed_and_step() -> None:
    check_draws("context")
