"""Convolutions and upsampling: the numbers of TensorFlow's own in every form."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_spot.commands.doctor import examine
from tf_spot.ops import convolutions, hardware
from tf_spot.ops.convolutions import Conv2D, convolve, convolve_upsampled, convolve_with_mask, upsample

# Where bfloat16 is emulated, sums are rounded to it on the way, term by term: TensorFlow's own gradients are then off
# by up to 0.06 of the largest value.
ROUNDING = {"float32": 1e-5, "bfloat16": 2**-7 if examine()["bfloat16"] else 2**-6}


@pytest.fixture(autouse=True)
def form_of_cpus() -> Iterator[None]:
    """Whatever runs these tests."""
    with hardware.trial(**dataclasses.asdict(hardware.CPU)):
        yield


def noise(*shape: int, seed: int = 0, dtype: str = "float32") -> tf.Tensor:
    return tf.cast(np.random.default_rng(seed).normal(size=shape), dtype)


def with_gradients(function: Callable[..., tf.Tensor], *inputs: tf.Tensor) -> list[tf.Tensor]:
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = function(*inputs)
    errors = tf.reshape(tf.sin(tf.range(tf.cast(tf.size(outputs), tf.float32))), tf.shape(outputs))
    errors = tf.cast(tf.cast(errors, tf.bfloat16), outputs.dtype)  # the same in both precisions
    return [outputs, *tape.gradient(outputs, list(inputs), errors)]


def assert_close(ours: tf.Tensor, theirs: tf.Tensor, exact: tf.Tensor, roundings: int = 1) -> None:
    """As near to the exact numbers as rounding allows, or else as TensorFlow's own form comes."""
    assert ours.dtype == theirs.dtype and ours.shape == theirs.shape == exact.shape
    limit = roundings * ROUNDING[ours.dtype.name] * float(tf.reduce_max(abs(exact)))
    limit = max(limit, float(tf.reduce_max(abs(tf.cast(theirs, tf.float32) - exact))))
    np.testing.assert_allclose(tf.cast(ours, tf.float32), exact, rtol=0, atol=limit)


def single(*tensors: tf.Tensor) -> list[tf.Tensor]:
    """The same numbers in float32."""
    return [tf.cast(tensor, tf.float32) for tensor in tensors]


# size of the image, channels, size of the kernel, stride, the form of a gradient, and whether it is that everywhere;
# else in bfloat16, and in float32 of a processor with narrow vectors
FORMS = {
    "stem": (24, 3, 11, 4, "_by_pixels", True),
    "stem, odd": (18, 3, 6, 3, "_by_pixels", True),
    "stem, uneven padding": (16, 3, 7, 2, "_by_pixels", True),
    "small maps": (6, 9, 3, 1, "_by_kernel_of_small_maps", False),
    "small maps, even kernel": (12, 4, 4, 1, "_by_kernel_of_small_maps", False),
    "patches": (8, 5, 2, 2, "_by_kernel_of_patches", False),
    "large maps": (16, 4, 3, 1, None, True),
    "size no multiple of the stride": (15, 3, 5, 2, None, True),
}


@pytest.mark.parametrize(("dtype", "narrow"), [("float32", False), ("float32", True), ("bfloat16", False)])
@pytest.mark.parametrize("name", FORMS)
def test_gradients_are_those_of_tensorflow(
    name: str, dtype: str, narrow: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    size, channels, kernel_size, stride, wanted, everywhere = FORMS[name]
    monkeypatch.setattr(convolutions, "narrow_vectors", lambda: narrow)
    inputs = noise(2, size, size, channels, dtype=dtype)
    kernel = noise(kernel_size, kernel_size, channels, 6, seed=1, dtype=dtype)
    used = set()

    def told(form: str, function: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *args: used.add(form) or function(*args)

    for form in ("_by_pixels", "_by_kernel_of_small_maps", "_by_kernel_of_patches"):
        monkeypatch.setattr(convolutions, form, told(form, getattr(convolutions, form)))
    ours = with_gradients(lambda x, k: convolve(x, k, stride), inputs, kernel)
    theirs, exact = (
        with_gradients(lambda x, k: tf.nn.conv2d(x, k, stride, "SAME"), *given)
        for given in ([inputs, kernel], single(inputs, kernel))
    )
    for each in zip(ours, theirs, exact, strict=True):
        assert_close(*each)
    assert used == ({wanted} if wanted and (everywhere or narrow or dtype == "bfloat16") else set())


def test_unknown_sizes_and_valid_padding_are_left_to_tensorflow() -> None:
    kernel = noise(3, 3, 3, 2, dtype="bfloat16")

    @tf.function(input_signature=[tf.TensorSpec((None, None, None, 3), tf.bfloat16)])
    def gradient(images: tf.Tensor) -> tf.Tensor:
        return with_gradients(lambda x: convolve(x, kernel, 1), images)[1]

    images = noise(2, 5, 7, 3, dtype="bfloat16")
    theirs = with_gradients(lambda x: tf.nn.conv2d(x, kernel, 1, "SAME"), images)[1]
    (exact_kernel,) = single(kernel)
    exact = with_gradients(lambda x: tf.nn.conv2d(x, exact_kernel, 1, "SAME"), *single(images))[1]
    assert_close(gradient(images), theirs, exact)
    assert convolve(images, kernel, 1, "VALID").shape == (2, 3, 5, 2)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(("groups", "strides", "use_bias"), [(1, 4, True), (2, 1, True), (2, 2, False)])
def test_the_layer_equals_keras(groups: int, strides: int, use_bias: bool, training: bool) -> None:
    settings = {"strides": strides, "groups": groups, "padding": "same", "use_bias": use_bias, "activation": "tanh"}
    ours, theirs = Conv2D(8, 3, **settings), keras.layers.Conv2D(8, 3, **settings)
    images = noise(2, 9, 9, 4)
    for layer in (ours, theirs):
        layer.build(images.shape)
        layer.set_weights([noise(*weight.shape, seed=3) for weight in layer.weights])
    np.testing.assert_allclose(ours(images, training=training), theirs(images), atol=1e-5)
    ours.activation = theirs.activation = keras.activations.linear
    rectified = ours(images, training=training, relu=True)
    np.testing.assert_allclose(rectified, tf.nn.relu(theirs(images)), atol=1e-5)


@pytest.mark.parametrize("dtype", ROUNDING)
def test_upsampling_is_bilinear_with_half_pixel_centres(dtype: str) -> None:
    line = upsample(tf.constant([0, 4, 8], dtype)[None, None, :, None])
    np.testing.assert_array_equal(tf.cast(line, tf.float32)[0, 0, :, 0], [0, 1, 3, 5, 7, 8])

    def resize(images: tf.Tensor) -> tf.Tensor:
        return tf.cast(tf.image.resize(images, (12, 10)), images.dtype)

    images = noise(2, 6, 5, 3, dtype=dtype)
    ours, theirs, exact = with_gradients(upsample, images), with_gradients(resize, images), single(images)
    for each in zip(ours, theirs, with_gradients(resize, *exact), strict=True):
        assert_close(*each)


# height, width, channels, size of the kernel, and whether the kernel's products come before the upsampling
UPSAMPLED = {
    "few cells": (3, 4, 12, 3, True),
    "one cell": (1, 1, 2, 3, True),
    "even kernel": (4, 3, 12, 2, True),
    "kernel of one": (4, 4, 12, 1, True),
    "few channels": (6, 5, 4, 3, False),
}


@pytest.mark.parametrize("dtype", ROUNDING)
@pytest.mark.parametrize("name", UPSAMPLED)
def test_convolution_of_the_upsampled(name: str, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    height, width, channels, size, before = UPSAMPLED[name]
    inputs = noise(2, height, width, channels, dtype=dtype)
    kernel = noise(size, size, channels, 5, seed=1, dtype=dtype)
    theirs = with_gradients(lambda x, k: tf.nn.conv2d(upsample(x), k, 1, "SAME"), *single(inputs, kernel))
    enlarged = []
    monkeypatch.setattr(convolutions, "upsample", lambda x: enlarged.append(x) or upsample(x))
    ours = with_gradients(convolve_upsampled, inputs, kernel)
    for a, b in zip(ours, theirs, strict=True):
        assert a.dtype == dtype
        assert tf.norm(tf.cast(a, tf.float32) - b) < ROUNDING[dtype] * tf.norm(b)
    assert bool(enlarged) is not before


@pytest.mark.parametrize("own_gradients", [False, True])
@pytest.mark.parametrize("dtype", ROUNDING)
@pytest.mark.parametrize("size", [6, 16])
def test_a_mask_apart_adds_what_it_adds_as_a_channel(size: int, dtype: str, own_gradients: bool) -> None:
    inputs, kernel = noise(2, size, size, 8, dtype=dtype), noise(3, 3, 9, 5, seed=1, dtype=dtype)
    mask = tf.cast(noise(2, size, size, 1, seed=2) > 0, dtype)

    def function(apart: bool, mask: tf.Tensor) -> Callable[..., tf.Tensor]:
        def convolved(x: tf.Tensor, k: tf.Tensor) -> tf.Tensor:
            with hardware.trial(mask_apart=apart, own_gradients=own_gradients):
                return convolve_with_mask(x, mask, k, training=True)

        return convolved

    ours, joined = (with_gradients(function(apart, mask), inputs, kernel) for apart in (True, False))
    exact = with_gradients(function(False, tf.cast(mask, tf.float32)), *single(inputs, kernel))
    for a, b, wanted in zip(ours, joined, exact, strict=True):
        assert a.dtype == dtype
        assert_close(a, b, wanted, roundings=2)  # two rounded sums, where one operation rounds once


@pytest.mark.parametrize(("size", "kernel_size", "stride"), [(24, 11, 4), (16, 7, 2), (16, 5, 2)])
def test_a_stem_of_blocks_is_the_convolution_with_a_stride(size: int, kernel_size: int, stride: int) -> None:
    inputs, kernel = noise(2, size, size, 3), noise(kernel_size, kernel_size, 3, 5, seed=1)

    def found(blocks: bool) -> list[tf.Tensor]:
        with hardware.trial(stem_of_blocks=blocks, own_gradients=False):
            graph = tf.function(lambda x: convolve(x, kernel, stride)).get_concrete_function(inputs).graph
            strides = [op.get_attr("strides")[1] for op in graph.get_operations() if op.type == "Conv2D"]
            assert strides == [1 if blocks else stride]
            return with_gradients(lambda x, k: convolve(x, k, stride), inputs, kernel)

    for a, b in zip(found(True), found(False), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


# Without XLA, TensorFlow has the gradient of a grouped convolution on GPUs, which this form is for, and on some CPUs.
AT_ONCE = [(False, False), (False, True), (True, True), pytest.param(True, False, marks=pytest.mark.gpu)]


@pytest.mark.parametrize(("training", "compiled"), AT_ONCE)
def test_groups_at_once_are_the_groups_one_by_one(training: bool, compiled: bool) -> None:
    layer, images = Conv2D(8, 3, groups=2, padding="same"), noise(2, 9, 9, 4)
    layer.build(images.shape)

    def found(at_once: bool) -> list[tf.Tensor]:
        @tf.function(jit_compile=compiled)
        def gradients(images: tf.Tensor) -> list[tf.Tensor]:
            with tf.GradientTape() as tape:
                tape.watch(images)
                outputs = layer(images, training=training)
                score = tf.reduce_sum(tf.sin(outputs))
            return [outputs, *tape.gradient(score, [images, layer.kernel.value])]

        with hardware.trial(groups_at_once=at_once, own_gradients=False):
            graph = gradients.get_concrete_function(images).graph
            convolutions = sum(operation.type == "Conv2D" for operation in graph.get_operations())
            assert convolutions == (1 if at_once and training else 2)
            return gradients(images)

    for a, b in zip(found(True), found(False), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
