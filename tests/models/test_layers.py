"""Layers: values by hand."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_spot.models.layers import (
    BatchNorm,
    ConvBlock,
    ExampleDropout,
    LocalResponseNorm,
    RepairBlock,
    UpConv,
    upsample_mask,
)

NORM = {"negative_slope": 0.2, "norm_momentum": 0.9, "norm_epsilon": 1e-3}


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def shaken(layer: keras.layers.Layer, seed: int = 0) -> keras.layers.Layer:
    """`layer` with no weight at its start value; moving variances stay positive."""
    rng = np.random.default_rng(seed)
    for variable in layer.variables:
        value = rng.normal(size=variable.shape)
        variable.assign(abs(value) + 0.5 if "variance" in variable.path else value)
    return layer


# --- Damage ----------------------------------------------------------------------------------------------------------


# --- BatchNorm, ConvBlock, UpConv ------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(6, 3), (2, 4, 4, 3)])
def test_batch_norm_normalises_with_the_batch_and_moves_its_statistics(shape: tuple[int, ...]) -> None:
    inputs = noise(*shape) * 2 + 3
    axes = tuple(range(len(shape) - 1))
    norm = BatchNorm(momentum=0.9, epsilon=1e-3)
    norm.build(shape)
    norm.gamma.assign([1.0, 2.0, 3.0])
    norm.beta.assign([0.0, 1.0, -1.0])
    expected = (inputs - inputs.mean(axes)) / np.sqrt(inputs.var(axes) + 1e-3) * [1, 2, 3] + [0, 1, -1]
    np.testing.assert_allclose(norm(inputs, training=True), expected, atol=2e-5)
    np.testing.assert_allclose(norm.moving_mean, 0.1 * inputs.mean(axes), rtol=1e-4)
    np.testing.assert_allclose(norm.moving_variance, 0.9 + 0.1 * inputs.var(axes), rtol=1e-4)  # biased variance


def test_batch_norm_can_leave_its_statistics() -> None:
    norm = BatchNorm(momentum=0.9, epsilon=1e-3, scale=False)
    norm.build((None, 3))
    inputs = noise(5, 3)
    held = norm(inputs, training=True, update_statistics=False)
    np.testing.assert_array_equal(norm.moving_mean, np.zeros(3))
    np.testing.assert_array_equal(norm.moving_variance, np.ones(3))
    np.testing.assert_array_equal(held, norm(inputs, training=True))
    assert np.abs(norm.moving_mean.numpy()).min() > 0


def test_batch_norm_at_inference_uses_the_moving_statistics() -> None:
    norm = BatchNorm(momentum=0.9, epsilon=1e-3, scale=False)
    norm.build((None, 2))
    norm.moving_mean.assign([1.0, 2.0])
    norm.moving_variance.assign([4.0 - 1e-3, 9.0 - 1e-3])
    np.testing.assert_allclose(norm(np.array([[5.0, 2.0]], "float32")), [[2.0, 0.0]], atol=1e-6)


@pytest.mark.parametrize("strides", [1, 2])
def test_folded_block_equals_convolution_norm_activation(strides: int) -> None:
    block = ConvBlock(6, 3, strides, **NORM)
    block.build((None, 8, 8, 4))
    shaken(block)
    images = noise(2, 8, 8, 4)
    expected = tf.nn.leaky_relu(block.norm(block.conv(images)), 0.2)
    assert block(images).shape == (2, 8 // strides, 8 // strides, 6)
    np.testing.assert_allclose(block(images), expected, atol=1e-4)
    before = block.norm.moving_mean.numpy()
    trained = tf.nn.leaky_relu(block.norm(block.conv(images), training=True, update_statistics=False), 0.2)
    np.testing.assert_allclose(block(images, training=True), trained, atol=1e-6)
    assert np.abs(block.norm.moving_mean.numpy() - before).max() > 0


def test_up_conv_doubles_with_half_pixel_centres() -> None:
    layer = UpConv(1, 1, **NORM)
    layer.build((None, 1, 2, 1))
    layer.conv.kernel.assign(np.ones((1, 1, 1, 1)))
    outputs = layer(np.array([0.0, 4.0], "float32").reshape(1, 1, 2, 1)) * np.sqrt(1 + 1e-3)
    np.testing.assert_allclose(outputs[0, :, :, 0], [[0, 1, 3, 4]] * 2, atol=1e-6)


def test_upsample_mask_repeats_cells() -> None:
    mask = np.array([[1, 0]], "float32").reshape(1, 1, 2, 1)
    np.testing.assert_array_equal(upsample_mask(mask)[0, :, :, 0], [[1, 1, 0, 0]] * 2)


# --- RepairBlock -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("training", [False, True])
def test_repair_block_changes_dropped_cells_only(training: bool) -> None:
    inputs = noise(2, 4, 4, 3)
    keep_mask = (noise(2, 4, 4, 1, seed=1) > 0).astype("float32")
    kept = keep_mask[..., 0] == 1
    gated, free = RepairBlock(**NORM), RepairBlock(gated=False, **NORM)
    for block in (gated, free):
        block.build((None, 4, 4, 3))
        shaken(block, seed=5)
    outputs, ungated = (np.asarray(block(inputs, keep_mask, training=training)) for block in (gated, free))
    np.testing.assert_array_equal(outputs[kept], inputs[kept])  # to the bit
    assert np.abs(outputs - inputs)[~kept].min() > 0
    assert np.abs(ungated - inputs)[kept].min() > 0
    np.testing.assert_array_equal(outputs[~kept], ungated[~kept])


def test_repair_block_sees_the_mask_as_last_channel() -> None:
    block = RepairBlock(**NORM)
    block.build((None, 4, 4, 3))
    assert tuple(block.first.conv.kernel.shape) == (3, 3, 4, 3) and tuple(block.second.kernel.shape) == (3, 3, 3, 3)
    shaken(block)
    x, mask = noise(1, 4, 4, 3), np.zeros((1, 4, 4, 1), "float32")
    joined = ConvBlock(3, 3, **NORM)
    joined.build((None, 4, 4, 4))
    joined.set_weights(block.first.get_weights())
    residual = block.second(joined(np.concatenate([x, mask], -1)))
    np.testing.assert_allclose(block(x, mask), x + residual.numpy(), atol=1e-5)


def test_a_repair_block_that_starts_at_zero_passes_its_inputs_on_and_learns() -> None:
    inputs, keep_mask = noise(2, 4, 4, 3), np.zeros((2, 4, 4, 1), "float32")
    block = RepairBlock(zero_residual=True, **NORM)
    with tf.GradientTape() as tape:
        outputs = block(inputs, keep_mask, training=True)
        loss = tf.reduce_sum(outputs**2)
    np.testing.assert_array_equal(outputs, inputs)
    assert np.abs(tape.gradient(loss, block.second.kernel)).max() > 0
    assert np.abs(RepairBlock(**NORM)(inputs, keep_mask, training=True) - inputs).max() > 0.01


# --- LocalResponseNorm, ExampleDropout -------------------------------------------------------------------------------


def test_local_response_norm_by_hand() -> None:
    inputs = np.array([1, 2, 3, 4], "float32").reshape(1, 1, 1, 4)
    outputs = LocalResponseNorm(depth_radius=1, alpha=0.5, beta=0.75, bias=2.0)(inputs)
    sums = np.array([1 + 4, 1 + 4 + 9, 4 + 9 + 16, 9 + 16])
    np.testing.assert_allclose(outputs[0, 0, 0], [1, 2, 3, 4] / (2 + 0.5 * sums) ** 0.75, rtol=1e-5)


def test_dropout_scales_what_it_keeps() -> None:
    ones = np.ones((64, 100), "float32")
    outputs = ExampleDropout(0.25)(ones, step=1).numpy()
    np.testing.assert_allclose(np.unique(outputs), [0, 4 / 3], rtol=1e-6)
    assert np.mean(outputs == 0) == pytest.approx(0.25, abs=0.02)
    np.testing.assert_array_equal(ExampleDropout(0.25)(ones), ones)  # inference
    np.testing.assert_array_equal(ExampleDropout(0.0)(ones, step=1), ones)


def test_dropout_draws_by_step_row_and_half() -> None:
    ones, dropout = np.ones((8, 400), "float32"), ExampleDropout(0.5, seed=4)
    outputs = dropout(ones, step=2, halves=2).numpy()
    np.testing.assert_array_equal(outputs, dropout(ones, step=tf.constant(2, tf.int64), halves=2))
    others = (dropout(ones, step=3, halves=2).numpy(), ExampleDropout(0.5, seed=5)(ones, step=2, halves=2).numpy())
    pairs = [(outputs[0], outputs[1]), (outputs[:4], outputs[4:]), *((outputs, other) for other in others)]
    for a, b in pairs:
        assert 0.4 < np.mean(a != b) < 0.6
