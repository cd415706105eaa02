"""The context task: patches, gaps, jitter, dropped colours."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import tensorflow as tf

from tests.support.pretext_task import check_draws, learn, make, noise
from tf_spot.baselines import context

NUMBERS = np.random.default_rng(0)


@pytest.mark.parametrize("size", [16, 32, 48, 64, 96])
def test_context_patches_never_touch_and_lie_in_the_image(size: int) -> None:
    """At least half of the gap stays between any two neighbours, whatever the jitter; the others lie all around."""
    patch = context.patch_size(size)
    for extreme in (0.0, 0.9999999, None):
        jitter = np.full((8, 9, 2), extreme) if extreme is not None else NUMBERS.uniform(size=(8, 9, 2))
        corners = context.patch_corners(tf.cast(jitter, tf.float32), size).numpy()
        assert corners.shape == (8, 9, 2) and corners.min() >= 0 and corners.max() + patch <= size
        for first, second in itertools.combinations(range(9), 2):
            distance = np.abs(corners[:, first] - corners[:, second]).max(axis=1)
            assert distance.min() - patch >= patch // 4
        around = np.sign(np.round((corners[:, 1:] - corners[:, :1]) / (1.5 * patch)))
        np.testing.assert_array_equal(around, np.broadcast_to(context.NEIGHBOURS, (8, 8, 2)))


def test_context_jitter_moves_each_patch_by_itself() -> None:
    still = context.patch_corners(tf.fill((1, 9, 2), 0.5), 64)
    moved = context.patch_corners(tf.tensor_scatter_nd_update(tf.fill((1, 9, 2), 0.5), [[0, 0, 0]], [0.0]), 64)
    change = (moved - still).numpy()[0]
    assert change[0].tolist() == [-2, 0] and not change[1:].any()


def test_the_middle_is_paired_with_every_neighbour() -> None:
    features = tf.reshape(tf.range(2 * 9 * 3, dtype=tf.float32), (2, 9, 3))
    # In a graph that knows neither the number of images nor that of values, as in training.
    signature = [tf.TensorSpec((None, 9, None))]
    pairs, neighbours = tf.function(context.pairs_of, input_signature=signature)(features)
    assert pairs.shape == (16, 6) and neighbours.numpy().tolist() == [*range(8)] * 2
    for number in range(16):
        image, neighbour = divmod(number, 8)
        expected = np.concatenate([features[image, 0], features[image, 1 + neighbour]])
        np.testing.assert_array_equal(pairs[number], expected)


def test_the_task_knows_which_neighbour_is_which(monkeypatch: pytest.MonkeyPatch) -> None:
    """Patches that hold nothing but their own position: the pairs and the answers of a step agree with the picture."""
    model, seen = make("context"), []

    def recorded(pairs: tf.Tensor, training: bool) -> tf.Tensor:
        seen.append(pairs)
        return tf.zeros((tf.shape(pairs)[0], 8))

    size = context.patch_size(32)
    monkeypatch.setattr(model, "backbone", lambda patches, training: {"conv5": patches[:, size // 2, size // 2]})
    monkeypatch.setattr(model, "head", recorded)
    monkeypatch.setattr(context, "drop_colours", lambda patches, kept, noise: patches)
    where = np.stack(np.meshgrid(np.arange(32), np.arange(32), [0], indexing="ij"), axis=-1)[:, :, 0]
    model.task_metrics(tf.constant(np.repeat(where[None], 2, axis=0), tf.float32), None, 0, training=False)
    pairs = seen[0].numpy().reshape(2, 8, 2, 3)
    steps = np.round((pairs[:, :, 1, :2] - pairs[:, :, 0, :2]) / (1.5 * size))
    np.testing.assert_array_equal(steps, np.broadcast_to(context.NEIGHBOURS, (2, 8, 2)))


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
