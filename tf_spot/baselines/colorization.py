"""Baseline: predict the colours of a grey photo."""

from __future__ import annotations

import keras
import tensorflow as tf

from tf_spot.baselines.colour_code import BINS, colour_bins, rarity
from tf_spot.baselines.pretext import Pretext, built, classification
from tf_spot.ops.colour import lab
from tf_spot.ops.registry import register


@register
class Colorization(Pretext):
    """Classifies for every cell of conv5 in which bin the cell's mean colour lies, from lightness alone.

    The backbone sees the lightness in all three channels. As the authors found, colour is multimodal, so it is a class
    and not a number; and rare colours weigh more, by the inverse of their frequency smoothed with a uniform one, else
    all predictions turn grey.

    This class also stands for Larsson, Maire and Shakhnarovich, "Colorization as a proxy task for visual
    understanding", CVPR 2017. They too classify binned colours of a grey photo; what is theirs are hypercolumns, the
    maps of all layers joined at each pixel, for sharp colours. Here the colours are those of conv5's cells, so there
    is no sharpness to gain, and the head reads the one layer that is judged.

    Source: Zhang, Isola and Efros, "Colorful image colorization", ECCV 2016.
    Deviation: hard bins in place of the five nearest, and all of the square in place of the 313 that occur;
    frequencies are those of the batch, not of the data set, and not smoothed over neighbouring bins; the probe shows
    the backbone colour photos, as for every other method.
    """

    def build_heads(self) -> None:
        self.head = built(keras.layers.Conv2D(BINS**2, 1, name="head"), None, None, self.channels)

    def task_metrics(
        self, images: tf.Tensor, labels: tf.Tensor | None, step: tf.Tensor | int, training: bool
    ) -> dict[str, tf.Tensor]:
        """Return the weighted cross entropy and the accuracy over cells and colour bins: float32 scalars."""
        logits = self.head(self.backbone(grey(images), training=training)["conv5"])  # (batch, grid, grid, BINS^2)
        bins = colour_bins(images, logits.shape[1])  # (batch, grid, grid)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=bins, logits=logits)
        accuracy = classification(logits, bins)["pretext_accuracy"]
        return {"pretext_loss": tf.reduce_mean(losses * rarity(bins)), "pretext_accuracy": accuracy}


def grey(images: tf.Tensor) -> tf.Tensor:
    """Return the lightness in three equal channels: float32 in [-1, 1], like `images`."""
    return tf.repeat(lab(images)[..., :1] / 50 - 1, 3, axis=-1)
