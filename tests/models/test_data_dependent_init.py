"""Weights that fit some images."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.support.small_backbones import ALEXNET, MAPS, NORM, pictures
from tf_spot.errors import UserError
from tf_spot.models.backbones import Backbone, build_backbone
from tf_spot.models.data_dependent_init import chain, unit_variance
from tf_spot.models.discriminator import Discriminator


@pytest.mark.slow
def test_rescaling_gives_the_moments_of_the_images(judge: Discriminator) -> None:
    backbone, images, weights = judge.backbone, pictures(8), judge.get_weights()
    unit_variance(backbone, tf.constant(images))
    at_inference, in_training = (backbone(images, training=t, update_statistics=False) for t in (False, True))
    momentum = {norm.momentum for norm in backbone.norms}
    judge.set_weights(weights)
    for name in MAPS:  # unlike with the moments that a new network has
        np.testing.assert_allclose(at_inference[name], in_training[name], rtol=1e-2, atol=2e-3)
    assert momentum == {0.9}


@pytest.mark.slow
def test_convolutions_one_after_the_other_are_rescaled_through_their_weights() -> None:
    """VGG has no batch norm. Before each ReLU: mean 0 and variance 1 in every channel, in its own order of layers."""
    backbone, images = build_backbone("VGG16", **ALEXNET, **NORM, width=1.0), pictures(4)
    unit_variance(backbone, tf.constant(images))
    x = backbone.net_inputs(tf.constant(images) * 127.5 + 127.5)
    convs = 0
    for layer in chain(backbone):
        if isinstance(layer, keras.layers.Conv2D):
            convs += 1
            before = tf.nn.conv2d(x, layer.kernel, 1, "SAME") + layer.bias
            mean, variance = tf.nn.moments(before, axes=(0, 1, 2))
            assert np.abs(mean).max() < 1e-2, layer.name
            np.testing.assert_allclose(variance, 1, atol=2e-2, err_msg=layer.name)
            assert layer.activation is keras.activations.relu, layer.name
        x = layer(x)
    assert convs == 13
    np.testing.assert_allclose(backbone(images)["conv5"], x, rtol=1e-4, atol=1e-4)


def test_what_is_neither_normed_nor_a_chain_is_refused() -> None:
    class Bare(Backbone):
        norms: list[object] = []

        def __init__(self) -> None:
            super().__init__({}, "bare")

    with pytest.raises(UserError, match="wants a backbone with batch norm, or convolutions .*received: Bare"):
        unit_variance(Bare(), tf.constant(pictures()))
