"""Weights that fit some images: every channel of every layer with mean 0 and variance 1."""

from __future__ import annotations

import itertools
from typing import Any

import keras
import tensorflow as tf

from tf_spot.errors import UserError
from tf_spot.models.backbones import AlexNet, Backbone, FunctionalBackbone


def unit_variance(backbone: Backbone, images: tf.Tensor) -> None:
    """Give every channel of every layer mean 0 and variance 1 over `images` before its ReLU, from the first one up.

    Through the moving moments where batch norm follows, else through kernel and bias. In a network of blocks with batch
    norm it is what enters each batch norm that gets these moments.

    Args:
        backbone: changed in place.
        images: float32 (batch, height, width, 3) in [-1, 1].

    Raises:
        UserError: a backbone without batch norm whose convolutions do not follow one another.

    Source: Kraehenbuehl, Doersch, Donahue and Darrell, "Data-dependent initializations of convolutional neural
    networks", ICLR 2016, without the balancing of the layers' learning speeds.
    """
    check_rescalable(backbone)
    if backbone.inside:
        for inner, seen in backbone.inside:
            unit_variance(inner, seen(images * 127.5 + 127.5) / 127.5 - 1)
    elif isinstance(backbone, AlexNet):
        _rescale_alexnet(backbone, images)
    elif backbone.norms:
        take_moments(backbone, images)
    else:
        _rescale_chain(chain(backbone), backbone.net_inputs(images * 127.5 + 127.5))


def check_rescalable(backbone: Backbone) -> None:
    """Raise a `UserError` for a backbone whose channels cannot be rescaled."""
    for inner, _ in backbone.inside:
        check_rescalable(inner)
    if not backbone.inside and not backbone.norms and not chain(backbone):
        raise UserError(
            "rescaling (--rescale, the baseline kmeans) wants a backbone with batch norm, or convolutions one after "
            f"the other; received: {getattr(backbone, 'label', type(backbone).__name__)}; leave it out"
        )


def chain(backbone: Backbone) -> list[keras.layers.Layer]:
    """Return the layers of a backbone in which each has the one before as its only input, such as VGG; else none."""
    layers = backbone.net.layers[1:] if isinstance(backbone, FunctionalBackbone) else []  # the first holds the inputs
    linked = all(layer.input is before.output for before, layer in itertools.pairwise(layers))
    return layers if linked else []


def _rescale_alexnet(backbone: AlexNet, images: tf.Tensor) -> None:
    x = backbone.first_inputs(images * 127.5 + 127.5)
    for i, (conv, norm) in enumerate(zip(backbone.convs, backbone.norms, strict=True), start=1):
        if norm is not None:  # a batch norm's own statistics do it
            mean, variance = tf.nn.moments(conv(x), axes=(0, 1, 2))
            norm.moving_mean.assign(mean)
            norm.moving_variance.assign(variance)
        else:
            _rescale(conv, conv(x))
        x = backbone(images)[f"conv{i}"]  # with the layers below already set
        if i <= 2:
            x = tf.nn.max_pool2d(x, 3, 2, "SAME")
            x = x if backbone.response_norm is None else backbone.response_norm(x)


def _rescale_chain(layers: list[keras.layers.Layer], x: tf.Tensor) -> None:
    for layer in layers:
        if isinstance(layer, keras.layers.Conv2D):
            activation, layer.activation = layer.activation, keras.activations.linear
            _rescale(layer, layer(x))
            layer.activation = activation
        x = layer(x)


def _rescale(conv: Any, outputs: tf.Tensor) -> None:
    """Divide a convolution's outputs by their deviation, and shift them to mean 0, through kernel and bias."""
    mean, variance = tf.nn.moments(tf.cast(outputs, tf.float32), axes=(0, 1, 2))
    scale = tf.math.rsqrt(variance + 1e-8)
    conv.kernel.assign(conv.kernel * scale)
    conv.bias.assign((conv.bias - mean) * scale)


def take_moments(backbone: Backbone, images: tf.Tensor) -> None:
    """Replace the moving moments of every batch norm by those of `images`, each with the norms below already replaced.

    Args:
        backbone: changed in place.
        images: float32 (batch, height, width, 3) in [-1, 1].
    """
    norms = [norm for norm in backbone.norms if norm is not None]
    momenta = [norm.momentum for norm in norms]
    # With momentum 0 one pass in training mode puts the batch's moments in place of the moving ones.
    for norm in norms:
        norm.momentum = 0.0
    backbone(images, training=True)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
