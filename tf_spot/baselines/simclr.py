"""Baseline: match two augmented views of one photo."""

from __future__ import annotations

import tensorflow as tf

from tf_spot.baselines.pretext import Pretext, classification, head_on
from tf_spot.baselines.two_views import two_views
from tf_spot.ops.registry import register

TEMPERATURE = 0.5
PROJECTION = 128  # units of the projection


@register
class SimCLR(Pretext):
    """Finds, among all views in the batch, the other view of the same image.

    Each image of the batch, already augmented as for every method, is augmented twice more and strongly, which is the
    method's idea: random crops and colour jitter together, as crops alone can be matched by their colour histograms.
    The loss works on a projection that is discarded after training.

    Source: Chen, Kornblith, Norouzi and Hinton, "A simple framework for contrastive learning of visual
    representations", ICML 2020; temperature 0.5 as in its appendix on small images.
    Deviation: the views' own, see `two_views`; Adam, and batches as small as the recipe's, which the authors found to
    cost accuracy.
    """

    def build_heads(self) -> None:
        self.projection = head_on(self, PROJECTION, self.channels)

    def task_metrics(
        self, images: tf.Tensor, labels: tf.Tensor | None, step: tf.Tensor | int, training: bool
    ) -> dict[str, tf.Tensor]:
        """Return cross entropy and accuracy of finding the other view: float32 scalars."""
        views = two_views(images, self.seed, step)  # (2 batch, size, size, 3)
        pooled = tf.reduce_mean(self.backbone(views, training=training)["conv5"], axis=(1, 2))  # (2 batch, channels)
        return nt_xent(self.projection(pooled, training=training))


def nt_xent(projections: tf.Tensor) -> dict[str, tf.Tensor]:
    """Return the cross entropy and accuracy of picking the other view by cosine similarity.

    Args:
        projections: float32 (2 batch, units); views i and i + batch are of one image.

    Returns:
        see `classification`.
    """
    unit = tf.math.l2_normalize(projections, axis=-1)
    views = tf.shape(unit)[0]
    itself = tf.eye(views) * 1e9  # no view may pick itself
    others = (tf.range(views) + views // 2) % views
    return classification(tf.matmul(unit, unit, transpose_b=True) / TEMPERATURE - itself, others)
