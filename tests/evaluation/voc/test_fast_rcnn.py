"""The network of Fast R-CNN."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tf_spot.evaluation.voc import fast_rcnn
from tf_spot.evaluation.voc.fast_rcnn import CELLS, SPREAD, Detector, detection_loss, moved, offsets_to, pool_regions
from tf_spot.models.backbones import AlexNet


def test_regions_are_pooled_where_they_are() -> None:
    """On a ramp, bilinear sampling is exact: the larger of two samples a cell is known by hand."""
    ramp = np.broadcast_to(np.arange(24, dtype=np.float32)[None, :, None, None], (2, 24, 24, 1)).copy()
    ramp[1] += 100
    boxes = np.float32([[0, 0, 1, 1], [0.25, 0.25, 0.75, 0.75], [0.5, 0, 1, 0.5]])
    pooled = pool_regions(ramp, boxes, np.int32([0, 1, 0])).numpy()
    assert pooled.shape == (3, CELLS, CELLS, 1)
    for region, (first, side) in enumerate([(0, 24), (6, 12), (12, 12)]):
        # value v of the ramp lies at v + 1/2; samples at 3/4 of every cell are the larger ones
        wanted = first + side / CELLS * (np.arange(CELLS) + 0.75) - 0.5 + (100 if region == 1 else 0)
        np.testing.assert_allclose(pooled[region, :, 0, 0], wanted, atol=1e-4)
        assert np.ptp(pooled[region], axis=1).max() < 1e-4
    ones = pool_regions(np.ones((1, 1, 1, 2), np.float32), np.float32([[0, 0, 1, 1]]), np.int32([0]))
    np.testing.assert_allclose(ones, 1)  # no zeros from beyond the edges, on a map of a single value too


def test_the_gradient_by_the_maps_is_that_of_the_sampling() -> None:
    """Regions that overlap, touch the edges and lie across values of two maps, beside TensorFlow's own gradient."""
    rng = np.random.default_rng(0)
    maps = tf.constant(rng.normal(size=(2, 5, 7, 3)), tf.float32)
    corners = rng.uniform(0, 0.6, (9, 2))
    boxes = tf.constant(np.concatenate([corners, corners + rng.uniform(0.1, 0.4, (9, 2))], axis=1), tf.float32)
    boxes = tf.concat([boxes, [[0.0, 0, 1, 1]]], axis=0)
    owners = tf.constant([0, 1] * 5)

    @tf.function
    def gradient(maps: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch(maps)
            score = tf.reduce_sum(tf.sin(pool_regions(maps, boxes, owners)))
        return tape.gradient(score, maps)

    kinds = {operation.type for operation in gradient.get_concrete_function(maps).graph.get_operations()}
    assert "CropAndResize" in kinds and not {kind for kind in kinds if kind.startswith("CropAndResizeGrad")}
    plain = fast_rcnn._sampled.__wrapped__
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fast_rcnn, "_sampled", lambda *arguments: plain(*arguments)[0])
        with tf.GradientTape() as tape:
            tape.watch(maps)
            score = tf.reduce_sum(tf.sin(pool_regions(maps, boxes, owners)))
    np.testing.assert_allclose(gradient(maps), tape.gradient(score, maps), atol=1e-4)  # sums of 144 samples a region


def test_offsets_turn_boxes_into_objects() -> None:
    boxes, wanted = np.float32([[0.2, 0.2, 0.4, 0.6]]), np.float32([[0.3, 0.1, 0.5, 0.9]])
    offsets = offsets_to(boxes, wanted)
    # centre (0.3, 0.4) to (0.4, 0.5): half a height and a quarter of a width; the width doubles
    np.testing.assert_allclose(offsets, np.float32([[0.5, 0.25, 0, np.log(2)]]) / SPREAD, atol=1e-5)
    both = tf.stack([tf.zeros((1, 4)), offsets], axis=1)
    np.testing.assert_allclose(moved(boxes, both)[0], [boxes[0], wanted[0]], atol=1e-6)
    np.testing.assert_allclose(moved(boxes, 100 * tf.ones((1, 1, 4)))[0, 0, 2:], 1)  # within the image, and finite


def test_loss_by_hand() -> None:
    logits, offsets = np.zeros((3, 21), np.float32), np.zeros((3, 21, 4), np.float32)
    offsets[1, 5] = [0.5, 3, 0, 0]
    offsets[2] = 7  # background: its box does not matter
    offsets[1, 4] = 9  # another class's box does not matter
    loss = detection_loss(np.int32([5, 5, 0]), np.zeros((3, 4), np.float32), logits, offsets)
    assert float(loss) == pytest.approx(np.log(21) + (0.5**2 / 2 + 2.5) / 3)


def backbone() -> Any:
    return AlexNet(width=0.1, stem_kernel=5, stem_stride=1, trunk_norm="batch", norm_momentum=0.9, norm_epsilon=1e-3)


def test_layers_units_and_norms_take_effect() -> None:
    model = Detector(backbone(), units=8, norms="frozen", trained_layers=2)
    inputs = (tf.random.stateless_uniform((2, 32, 48, 3), (0, 0)), np.float32([[0, 0, 1, 1]] * 3), np.int32([0, 1, 1]))
    logits, offsets = model(inputs)
    assert logits.shape == (3, 21) and offsets.shape == (3, 21, 4)
    assert {variable.path.split("/")[1] for variable in model.backbone.trainable_variables} == {
        "conv4", "norm4", "conv5", "norm5"}  # fmt: skip
    assert [layer.units for layer in model.large] == [8, 8]
    means = [norm.moving_mean.numpy() for norm in model.backbone.norms]
    model(inputs, training=True)
    assert all(np.array_equal(a, b.moving_mean) for a, b in zip(means, model.backbone.norms, strict=True))
    model.norms = "adapt"
    model(inputs, training=True)
    assert not any(np.array_equal(a, b.moving_mean) for a, b in zip(means, model.backbone.norms, strict=True))
