"""Baseline: one fixed random target for every photo, and the best exchange of targets within a batch."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
from scipy.optimize import linear_sum_assignment

from tf_spot.baselines.gradient_images import GradientBackbone
from tf_spot.baselines.pretext import Head, Pretext, built, norm_options
from tf_spot.models.backbones import Backbone
from tf_spot.ops.registry import register

TARGET_SIZE = 128  # numbers of a target, and of the features that are drawn to it


@register
class NoiseAsTargets(Pretext):
    """Maps photos onto random points of the unit sphere, one for every photo, chosen for it from those of its batch.

    The points never move, so that the features cannot all become the same. Which photo has which point does: in every
    batch the points of its photos are exchanged so that their summed distance to the features is smallest, by the
    Hungarian algorithm. The exchange is one to one, as two photos with one point would be the beginning of a collapse;
    and similar photos come to have neighbouring points. The authors' other precaution: the network sees the gradients
    of the photos, as their colours alone give too easy an answer.

    The backbone that transfers sees gradients too, see `GradientBackbone`, so the probe shows it those of the photos.

    The accuracy is the share of images whose own point, before the exchange, is the nearest one of the batch.

    Args:
        backbone: the network that sees the gradients, or a `GradientBackbone` of it.
        classes: number of photos.

    Source: Bojanowski and Joulin, "Unsupervised learning by predicting noise", ICML 2017.
    Deviation: points are exchanged in every batch, there in some epochs; 128 numbers to a point; one hidden layer.
    """

    label_kind = "photos"

    def __init__(self, backbone: Backbone, *args: Any, **kwargs: Any) -> None:
        # A model that is loaded has such a backbone already.
        sees_gradients = isinstance(backbone, GradientBackbone)
        super().__init__(backbone if sees_gradients else GradientBackbone(backbone), *args, **kwargs)

    def build_heads(self) -> None:
        if not self.classes:
            raise ValueError(f"classes must be the number of photos. Received: classes={self.classes}")
        side = self.grid_size(self.image_size)
        head = Head(self.units, TARGET_SIZE, **norm_options(self.backbone.inner))
        self.head = built(head, side, side, self.channels)
        weight: dict[str, Any] = {"initializer": "zeros", "trainable": False}
        self.points = self.add_weight(name="points", shape=(self.classes, TARGET_SIZE), **weight)
        self.points.assign(unit_noise(self.classes, self.seed))
        self.point_of_photo = self.add_weight(name="point_of_photo", shape=(self.classes,), dtype="int32", **weight)
        self.point_of_photo.assign(np.arange(self.classes, dtype=np.int32))

    def task_metrics(
        self, images: tf.Tensor, labels: tf.Tensor | None, step: tf.Tensor | int, training: bool
    ) -> dict[str, tf.Tensor]:
        """Return the squared distance of features to their points, 0 to 4, and the accuracy: float32 scalars.

        Args:
            images, step: see `Pretext`.
            labels: int32 (batch,), the indices of the photos.
            training: the points are exchanged before the distances are taken.
        """
        photos = tf.convert_to_tensor(labels)
        features = self.features(images, training)  # (batch, TARGET_SIZE)
        points = tf.gather(self.point_of_photo, photos)  # int32 (batch,)
        similarities = tf.matmul(features, tf.gather(self.points, points), transpose_b=True)  # (batch, batch), cosines
        right = tf.equal(tf.gather(points, tf.argmax(similarities, axis=1)), points)
        if training:
            order = tf.numpy_function(best_exchange, [similarities, photos], tf.int32, stateful=False)
            points = tf.gather(points, tf.ensure_shape(order, photos.shape))
            exchanged = tf.tensor_scatter_nd_update(self.point_of_photo, photos[:, None], points)
            self.point_of_photo.assign(exchanged)
        distances = tf.reduce_sum(tf.math.squared_difference(features, tf.gather(self.points, points)), axis=1)
        return {
            "pretext_loss": tf.reduce_mean(distances),
            "pretext_accuracy": tf.reduce_mean(tf.cast(right, tf.float32)),
        }

    def features(self, images: tf.Tensor, training: bool) -> tf.Tensor:
        """Return a point of the unit sphere for each image: float32 (batch, TARGET_SIZE)."""
        conv5 = self.backbone(images, training=training)["conv5"]
        return tf.math.l2_normalize(self.head(conv5, training=training), axis=-1)


def unit_noise(count: int, seed: int) -> np.ndarray:
    """Draw points of the unit sphere, uniformly: float32 (count, TARGET_SIZE)."""
    normal = np.random.default_rng(seed).normal(size=(count, TARGET_SIZE))
    return (normal / np.linalg.norm(normal, axis=1, keepdims=True)).astype(np.float32)


def best_exchange(similarities: np.ndarray, photos: np.ndarray) -> np.ndarray:
    """Return whose point each photo of a batch gets, so that the summed similarity is largest.

    Args:
        similarities: float32 (batch, batch), of the features of each row to the point of each column's photo.
        photos: int32 (batch,), which photo each row is of. The rows of one photo, at the turn of an epoch, get one
            point: the first of them decides.

    Returns:
        int32 (batch,), rows; a permutation where no photo is twice in the batch.
    """
    _, first, of_row = np.unique(photos, return_index=True, return_inverse=True)
    _, columns = linear_sum_assignment(similarities[np.ix_(first, first)], maximize=True)
    return first[columns][of_row].astype(np.int32)
