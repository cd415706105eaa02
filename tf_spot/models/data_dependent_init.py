"""Weights that fit some images: every channel of every layer with mean 0 and variance 1."""

from __future__ import annotations

import tensorflow as tf

from tf_spot.config import IMAGE_MEAN
from tf_spot.errors import UserError
from tf_spot.models.backbones import AlexNet, Backbone


def unit_variance(backbone: Backbone, images: tf.Tensor) -> None:
    """Give every channel of every layer mean 0 and variance 1 over `images` before its ReLU, from conv1 up.

    Through the moving moments where batch norm follows, else through kernel and bias. With another backbone than
    AlexNet: what enters each batch norm.

    Args:
        backbone: changed in place.
        images: float32 (batch, height, width, 3) in [-1, 1].

    Raises:
        UserError: a backbone without batch norm.

    Source: Kraehenbuehl, Doersch, Donahue and Darrell, "Data-dependent initializations of convolutional neural
    networks", ICLR 2016, without the balancing of the layers' learning speeds.
    """
    check_rescalable(backbone)
    if not isinstance(backbone, AlexNet):
        take_moments(backbone, images)
        return
    x = images * 127.5 + 127.5 - tf.constant(IMAGE_MEAN, images.dtype)
    for i, (conv, norm) in enumerate(zip(backbone.convs, backbone.norms, strict=True), start=1):
        mean, variance = tf.nn.moments(conv(x), axes=(0, 1, 2))
        if norm is not None:  # a batch norm's own statistics do it
            norm.moving_mean.assign(mean)
            norm.moving_variance.assign(variance)
        else:
            # Divide the outputs by their deviation, and shift them to mean 0, through kernel and bias.
            scale = tf.math.rsqrt(variance + 1e-8)
            conv.kernel.assign(conv.kernel * scale)
            conv.bias.assign((conv.bias - mean) * scale)
        x = backbone(images)[f"conv{i}"]  # with the layers below already set
        if i <= 2:
            x = tf.nn.max_pool2d(x, 3, 2, "SAME")
            x = x if backbone.response_norm is None else backbone.response_norm(x)


def check_rescalable(backbone: Backbone) -> None:
    """Raise a `UserError` for a backbone whose channels cannot be rescaled."""
    if not backbone.norms:
        raise UserError(
            "rescaling (--rescale, the baseline kmeans) wants a backbone with batch norm; received: "
            f"{backbone.label}; leave it out"
        )


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
