"""Baseline: predict the colours of a grey photo."""

from __future__ import annotations

import keras
import tensorflow as tf

from tf_spot.baselines.pretext import Pretext, built
from tf_spot.ops.registry import register

BIN = 10.0  # width of a colour bin, in units of a and b
BINS = 22  # along each of a and b, from -110 to 110
SMOOTHING = 0.5  # share of a uniform distribution mixed into the colours' frequencies

# Linear sRGB to XYZ, each row divided by the white point D65. Source: IEC 61966-2-1; CIE 15.
XYZ = ((0.43395, 0.37622, 0.18983), (0.21267, 0.71516, 0.07217), (0.01776, 0.10948, 0.87276))


@register
class Colorization(Pretext):
    """Classifies for every cell of conv5 in which bin the cell's mean colour lies, from lightness alone.

    The backbone sees the lightness in all three channels. As the authors found, colour is multimodal, so it is a class
    and not a number; and rare colours weigh more, by the inverse of their frequency smoothed with a uniform one, else
    all predictions turn grey.

    Source: Zhang, Isola and Efros, "Colorful image colorization", ECCV 2016.
    Deviation: hard bins in place of the five nearest; frequencies are those of the batch, not of the data set; the
    probe shows the backbone colour photos, as for every other method.
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
        right = tf.equal(tf.argmax(logits, axis=-1, output_type=tf.int32), bins)
        return {
            "pretext_loss": tf.reduce_mean(losses * rarity(bins)),
            "pretext_accuracy": tf.reduce_mean(tf.cast(right, tf.float32)),
        }


def lab(images: tf.Tensor) -> tf.Tensor:
    """Convert sRGB images to CIE Lab.

    Args:
        images: float32 (batch, ..., 3) in [-1, 1].

    Returns:
        float32 (batch, ..., 3): L in [0, 100], a and b in about [-110, 110].
    """
    rgb = (images + 1) / 2
    # `where` computes both branches, so each argument is kept where the power is finite.
    linear = tf.where(rgb <= 0.04045, rgb / 12.92, ((tf.maximum(rgb, 0.04045) + 0.055) / 1.055) ** 2.4)
    xyz = tf.einsum("...c,kc->...k", linear, tf.constant(XYZ))
    root = tf.where(xyz > (6 / 29) ** 3, tf.maximum(xyz, 1e-3) ** (1 / 3), xyz * (29 / 6) ** 2 / 3 + 4 / 29)
    x, y, z = tf.unstack(root, axis=-1)
    return tf.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def grey(images: tf.Tensor) -> tf.Tensor:
    """Return the lightness in three equal channels: float32 in [-1, 1], like `images`."""
    return tf.repeat(lab(images)[..., :1] / 50 - 1, 3, axis=-1)


def colour_bins(images: tf.Tensor, grid: int) -> tf.Tensor:
    """Return the bin of each cell's mean colour.

    Args:
        images: float32 (batch, height, width, 3) in [-1, 1].
        grid: cells per side.

    Returns:
        int32 (batch, grid, grid) in 0 ... BINS^2 - 1, a changing slowest.
    """
    colours = tf.image.resize(lab(images)[..., 1:], (grid, grid), "area")  # (batch, grid, grid, 2)
    indices = tf.clip_by_value(tf.cast(tf.floor(colours / BIN), tf.int32) + BINS // 2, 0, BINS - 1)
    return indices[..., 0] * BINS + indices[..., 1]


def rarity(bins: tf.Tensor) -> tf.Tensor:
    """Return the weights of the cells, the inverse of their colour's smoothed frequency in the batch.

    Args:
        bins: int32 (batch, grid, grid), see `colour_bins`.

    Returns:
        float32, like `bins`, with mean 1.
    """
    # Not `tf.math.bincount`, which no GPU computes deterministically.
    counts = tf.reduce_sum(tf.one_hot(tf.reshape(bins, (-1,)), BINS**2), axis=0)  # (cells, BINS^2) to (BINS^2,)
    frequency = counts / tf.reduce_sum(counts)  # (BINS^2,)
    weights = tf.gather(1 / ((1 - SMOOTHING) * frequency + SMOOTHING / BINS**2), bins)
    return weights / tf.reduce_mean(weights)
