"""Baseline: predict the colours from the lightness, and the lightness from the colours."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from tf_spot.baselines.colour_code import BINS, LIGHTNESS_BINS, colour_bins, lightness_bins
from tf_spot.baselines.pretext import Pretext, built, classification
from tf_spot.models.backbones import Backbone, LabHalves
from tf_spot.ops.registry import register


@register
class SplitBrain(Pretext):
    """Classifies each cell of conv5 twice: its mean colour from lightness alone, its mean lightness from colour alone.

    The backbone is split into two halves without a connection, see `LabHalves`. That is the method's precaution: a
    half that saw its own target would copy it. Together the halves have seen the whole image, so the features are the
    maps of both. A `backbone` that is not split yet is replaced by two of half its width, at weights of their own.

    Source: Zhang, Isola and Efros, "Split-brain autoencoders: unsupervised learning by cross-channel prediction", CVPR
    2017, in the form with classification on both sides.
    Deviation: hard bins of the mean over a cell, 484 of colour and 50 of lightness; every cell weighs the same; a
    channel count that is no multiple of 16 is rounded, so both halves together may have a few channels more or less
    than the backbone of the other methods.

    Raises:
        UserError: a backbone that does not come in half its width.
    """

    task_metric_names = ("pretext_loss", "pretext_accuracy", "colour_accuracy", "lightness_accuracy")

    def __init__(self, backbone: Backbone, *args: Any, **kwargs: Any) -> None:
        super().__init__(backbone if isinstance(backbone, LabHalves) else LabHalves.of(backbone), *args, **kwargs)

    def build_heads(self) -> None:
        half = self.channels // 2
        self.colour_head = built(keras.layers.Conv2D(BINS**2, 1, name="colour_head"), None, None, half)
        self.lightness_head = built(keras.layers.Conv2D(LIGHTNESS_BINS, 1, name="lightness_head"), None, None, half)

    def task_metrics(
        self, images: tf.Tensor, labels: tf.Tensor | None, step: tf.Tensor | int, training: bool
    ) -> dict[str, tf.Tensor]:
        """Return the sum of both cross entropies, the mean of both accuracies, and each: float32 scalars."""
        conv5 = self.backbone(images, training=training)["conv5"]  # (batch, grid, grid, channels)
        grid = conv5.shape[1]
        from_lightness, from_colour = tf.split(conv5, 2, axis=-1)  # in the order of the halves
        colour = classification(self.colour_head(from_lightness), colour_bins(images, grid))
        lightness = classification(self.lightness_head(from_colour), lightness_bins(images, grid))
        accuracies = colour["pretext_accuracy"], lightness["pretext_accuracy"]
        return {
            "pretext_loss": colour["pretext_loss"] + lightness["pretext_loss"],
            "pretext_accuracy": tf.add_n(accuracies) / 2,
            "colour_accuracy": accuracies[0],
            "lightness_accuracy": accuracies[1],
        }
