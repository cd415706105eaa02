"""Baseline: make the outputs of two views the same, and different from each other."""

from __future__ import annotations

import tensorflow as tf

from tf_spot.baselines.pretext import Pretext, classification, head_on
from tf_spot.baselines.two_views import two_views
from tf_spot.ops.registry import register

PROJECTION = 128  # outputs whose correlations the loss is about
REDUNDANCY = 0.02  # lambda: weight of a squared correlation between two different outputs
EPSILON = 1e-5  # added to the variance of an output


@register
class BarlowTwins(Pretext):
    """Brings the correlations between the outputs for one view and those for the other to the identity.

    An output agrees with itself over the two views, which makes it invariant to the augmentation. The precaution: two
    different outputs are uncorrelated, without which all of them could say the same thing. That all images get the same
    answer is excluded, as the outputs are normalised over the batch.

    The accuracy is not part of the loss: the share of views that are nearer to their other view than to those of all
    other images in the batch.

    Source: Zbontar, Jing, Misra, LeCun and Deny, "Barlow twins: self-supervised learning via redundancy reduction",
    ICML 2021.
    Deviation: one hidden layer and 128 outputs in place of two and 8192, which costs accuracy, as the authors say; a
    larger weight of the redundancy than their 0.005, though all pairs together weigh less; batch norm takes the moments
    of both views together; views without blur and solarization, and of stronger saturation; Adam, the recipe's weight
    decay, and batches as small as its.
    """

    def build_heads(self) -> None:
        self.projection = head_on(self, PROJECTION, self.channels)

    def task_metrics(
        self, images: tf.Tensor, labels: tf.Tensor | None, step: tf.Tensor | int, training: bool
    ) -> dict[str, tf.Tensor]:
        """Return the loss of the correlations, and the accuracy of finding the other view: float32 scalars."""
        views = two_views(images, self.seed, step)  # (2 batch, size, size, 3)
        pooled = tf.reduce_mean(self.backbone(views, training=training)["conv5"], axis=(1, 2))  # (2 batch, channels)
        first, second = (normalised(half) for half in tf.split(self.projection(pooled, training=training), 2))
        # (batch, batch): which of the second views is nearest to each first one
        similarities = tf.matmul(tf.math.l2_normalize(first, -1), tf.math.l2_normalize(second, -1), transpose_b=True)
        accuracy = classification(similarities, tf.range(tf.shape(images)[0]))["pretext_accuracy"]
        return {"pretext_loss": correlation_loss(first, second), "pretext_accuracy": accuracy}


def normalised(outputs: tf.Tensor) -> tf.Tensor:
    """Scale each output to mean 0 and variance 1 over the batch: float32 (batch, outputs), as given."""
    mean, variance = tf.nn.moments(outputs, axes=0)
    return (outputs - mean) * tf.math.rsqrt(variance + EPSILON)


def correlations(first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
    """Return the correlation of every output for the first view with every one for the second.

    Args:
        first, second: float32 (batch, outputs), see `normalised`.

    Returns:
        float32 (outputs, outputs) in [-1, 1].
    """
    return tf.matmul(first, second, transpose_a=True) / tf.cast(tf.shape(first)[0], tf.float32)


def correlation_loss(first: tf.Tensor, second: tf.Tensor, redundancy: float = REDUNDANCY) -> tf.Tensor:
    """Return how far the correlations are from the identity: a float32 scalar.

    Args:
        first, second: see `correlations`.
        redundancy: weight of the correlations between different outputs.
    """
    squares = tf.math.squared_difference(correlations(first, second), tf.eye(first.shape[-1]))
    same = tf.reduce_sum(tf.linalg.diag_part(squares))
    different = tf.reduce_sum(squares) - same
    return same + redundancy * different
