"""The context task: patches, gaps, jitter, dropped colours."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import tensorflow as tf

from tests.support.pretext_inputs import inputs_of
from tests.support.pretext_task import check_draws, learn, make, noise, positions
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
        around = np.sign(np.round((np.delete(corners, 4, axis=1) - corners[:, 4:5]) / (1.5 * patch)))
        np.testing.assert_array_equal(around, np.broadcast_to(context.NEIGHBOURS, (8, 8, 2)))


def test_context_jitter_moves_each_patch_by_itself() -> None:
    still = context.patch_corners(tf.fill((1, 9, 2), 0.5), 64)
    moved = context.patch_corners(tf.tensor_scatter_nd_update(tf.fill((1, 9, 2), 0.5), [[0, 4, 0]], [0.0]), 64)
    change = (moved - still).numpy()[0]
    assert change[4].tolist() == [-2, 0] and not np.delete(change, 4, axis=0).any()


def test_every_patch_makes_a_pair_with_each_neighbour_in_both_orders() -> None:
    """Taken out: the pairs away from the middle, without which the second patch's place alone is the answer."""
    pairs = {(first, second): context.NEIGHBOURS[neighbour] for first, second, neighbour in context.PAIRS}
    assert len(pairs) == len(context.PAIRS) == 40
    for (first, second), (down, right) in pairs.items():
        assert pairs[second, first] == (-down, -right)
        assert second - first == 3 * down + right and abs(second % 3 - first % 3) <= 1
    seconds = [{tuple(pairs[pair]) for pair in pairs if pair[1] == place} for place in range(9)]
    assert all(len(answers) >= 3 for answers in seconds)


def test_patches_are_normalised_one_by_one() -> None:
    """Taken out: the normalisation, without which a patch's brightness tells how high it lies under the sky."""
    model = make("context")
    seen = inputs_of(model.backbone, model, 0.2 * noise(NUMBERS, 4, 32, 32, 3) + 0.6)
    largest = np.abs(seen).max(axis=(1, 2), keepdims=True)
    kept = largest == largest.max(axis=-1, keepdims=True)  # the channel that is not replaced
    means = np.sum(seen * kept, axis=-1).mean(axis=(1, 2))
    np.testing.assert_allclose(means, 0, atol=1e-4)


def test_pairs_are_those_of_their_patches() -> None:
    features = tf.reshape(tf.range(2 * 9 * 3, dtype=tf.float32), (2, 9, 3))
    # In a graph that knows neither the number of images nor that of values, as in training.
    signature = [tf.TensorSpec((None, 9, None))]
    pairs, neighbours = tf.function(context.pairs_of, input_signature=signature)(features)
    assert pairs.shape == (80, 6) and neighbours.numpy().tolist() == [*context.PAIRS[:, 2]] * 2
    for number in range(80):
        image, pair = divmod(number, 40)
        first, second, _ = context.PAIRS[pair]
        np.testing.assert_array_equal(pairs[number], np.concatenate([features[image, first], features[image, second]]))


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
    monkeypatch.setattr(context, "normalised", lambda patches: patches)
    where = np.stack(np.meshgrid(np.arange(32), np.arange(32), [0], indexing="ij"), axis=-1)[:, :, 0]
    model.task_metrics(tf.constant(np.repeat(where[None], 2, axis=0), tf.float32), None, 0, training=False)
    pairs = seen[0].numpy().reshape(2, 40, 2, 3)
    steps = np.round((pairs[:, :, 1, :2] - pairs[:, :, 0, :2]) / (1.5 * size))
    expected = np.array(context.NEIGHBOURS)[context.PAIRS[:, 2]]
    np.testing.assert_array_equal(steps, np.broadcast_to(expected, (2, 40, 2)))


def test_dropped_colours_cannot_be_recovered() -> None:
    """One channel stays as it is; the others no longer depend on the photo's."""
    patches = noise(NUMBERS, 3, 8, 8, 3)
    drawn = tf.constant(NUMBERS.uniform(size=(3, 8, 8, 3)), tf.float32)
    kept = tf.constant([0, 2, 1])
    dropped = context.drop_colours(patches, kept, drawn)
    for row, channel in enumerate(kept.numpy()):
        np.testing.assert_allclose(dropped[row, ..., channel], patches[row, ..., channel], atol=1e-6)
        others = [c for c in range(3) if c != channel]
        replaced = dropped.numpy()[row][..., others]
        assert np.std(replaced) == pytest.approx(np.std(patches[row, ..., channel]) / 100, rel=0.2)
    other = tf.where(tf.one_hot(kept, 3)[:, None, None] == 1, patches, noise(NUMBERS, 3, 8, 8, 3))
    np.testing.assert_allclose(context.drop_colours(other, kept, drawn), dropped, atol=1e-6)


def test_every_patch_of_the_task_keeps_one_channel() -> None:
    """Taken out: the dropping, without which chromatic aberration tells the place of a patch."""
    model = make("context")
    seen = inputs_of(model.backbone, model, noise(NUMBERS, 4, 32, 32, 3))
    deviations = np.std(seen, axis=(1, 2))
    assert set(deviations.argmax(axis=1)) == {0, 1, 2}
    small, middle, large = np.sort(deviations, axis=1).T
    np.testing.assert_allclose([small / large, middle / large], 0.01, rtol=0.3)


def test_every_patch_of_the_task_is_moved_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """Taken out: the draws of the jitter, without which all patches lie on the same lines."""
    monkeypatch.setattr(context, "drop_colours", lambda patches, kept, noise: patches)
    monkeypatch.setattr(context, "normalised", lambda patches: patches)
    model = make("context")
    images = tf.repeat(tf.concat([positions(32), positions(32)[..., :1]], axis=-1), 16, axis=0)
    corners = inputs_of(model.backbone, model, images).numpy()[:, 0, 0, :2].reshape(16, 9, 2)
    assert (np.ptp(corners, axis=0) > 0).all(), "by a pixel; at the border of the image inwards only"
    moves = corners - corners.mean(axis=0)
    assert (np.ptp(np.round(moves), axis=1) > 0).any(axis=1).all(), "not all patches of an image the same way"


@pytest.mark.slow
def test_context_is_learnt() -> None:
    """Chance: 6/40, the commonest neighbour."""
    assert learn(make("context"), 120)["pretext_accuracy"][1] > 0.22


@pytest.mark.slow
def test_draws_are_functions_of_seed_and_step() -> None:
    check_draws("context")
