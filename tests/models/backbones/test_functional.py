"""A functional model made anew as a backbone: our norms, no draws, convolutions that every runtime has, its weights."""

from __future__ import annotations

import keras
import numpy as np

from tests.support.small_backbones import pictures
from tf_spot.models.backbones.functional import ApplicationNorm, copy_weights, flat_layers, recast
from tf_spot.ops.convolutions import Conv2D

layers = keras.layers
FLOAT32 = keras.DTypePolicy("float32")


def test_models_inside_are_copied_too_with_our_norm_and_other_convolutions() -> None:
    inner = keras.Sequential(
        [keras.Input((None, None, 4)), layers.Conv2D(8, 3, groups=2, padding="same"), layers.BatchNormalization()],
        name="inner",
    )
    x = inputs = keras.Input((None, None, 3))
    x = layers.Conv2D(4, 3, padding="same")(x)
    x = layers.Conv2D(4, 3, groups=4, strides=2, padding="same", name="depthwise")(x)
    model = keras.Model(inputs, layers.Dropout(0.5)(inner(x)))
    copy = recast(model, FLOAT32, norm_momentum=0.5)
    kinds = [type(layer) for layer in flat_layers(copy)]
    assert kinds[2:] == [layers.DepthwiseConv2D, Conv2D, ApplicationNorm, layers.Dropout]
    assert next(layer for layer in flat_layers(copy) if isinstance(layer, ApplicationNorm)).momentum == 0.5
    copy_weights(model, copy)
    np.testing.assert_allclose(copy(pictures(2), training=False), model(pictures(2), training=False), atol=1e-5)
    assert flat_layers(copy)[-1].rate == 0


def test_tokens_are_normalised_over_all_of_them() -> None:
    norm = ApplicationNorm(momentum=0.0, epsilon=0.0)
    tokens = np.random.default_rng(0).normal(3.0, 2.0, (4, 5, 6)).astype("float32")
    values = np.asarray(norm(tokens, training=True))
    np.testing.assert_allclose(values.mean((0, 1)), 0.0, atol=1e-5)
    np.testing.assert_allclose(norm.moving_mean, tokens.mean((0, 1)), rtol=1e-5)
    np.testing.assert_allclose(norm.moving_variance, tokens.var((0, 1)), rtol=1e-3)
