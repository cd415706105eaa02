"""Baseline: tell photos apart by strongly transformed patches of them."""

from __future__ import annotations

import tensorflow as tf

from tf_spot.baselines.pretext import Pretext, classification, head_on
from tf_spot.baselines.transformed_patches import patch_size, transformed_patches
from tf_spot.ops.registry import register

MOST_CLASSES = 8_000  # photos that a softmax tells apart; more are told apart by triplets
COPIES = 2  # transformations of each patch in a batch
EMBEDDING = 128  # numbers of a patch in the triplet form
MARGIN = 0.5  # by which another photo's patch is to be farther away, in squared distance of unit vectors


@register
class Exemplar(Pretext):
    """Says which photo a patch is of: every photo is a surrogate class, of which there are many transformed patches.

    Up to `MOST_CLASSES` photos a softmax has one class for each. Beyond, where the output layer would be larger than
    the network and each class too rare, patches are embedded: two patches of one photo must be nearer to each other
    than to those of all other photos in the batch (triplets).

    The authors' two precautions: a patch is drawn in proportion to its gradient energy, as a patch of sky belongs to
    any photo; and the transformations are strong in place, scale, rotation, contrast and colour, as photos are told
    apart by their mean colour else.

    Args:
        classes: number of photos.

    Source: Dosovitskiy, Springenberg, Riedmiller and Brox, "Discriminative unsupervised feature learning with
    convolutional neural networks", NIPS 2014; triplets in place of a softmax from Doersch and Zisserman, "Multi-task
    self-supervised visual learning", ICCV 2017.
    Deviation: a class is a photo, of which each epoch shows another crop and thus another patch, in place of one fixed
    patch; all other patches of the batch are negative, none is chosen for being hard. See also `transformed_patches`.
    """

    label_kind = "photos"

    def build_heads(self) -> None:
        if not self.classes:
            raise ValueError(f"classes must be the number of photos. Received: classes={self.classes}")
        side = self.grid_size(patch_size(self.image_size))
        outputs = EMBEDDING if self.by_triplets else self.classes
        self.head = head_on(self, outputs, side, side, self.channels)

    @property
    def by_triplets(self) -> bool:
        """True if there are too many photos for a softmax."""
        return (self.classes or 0) > MOST_CLASSES

    def task_metrics(
        self, images: tf.Tensor, labels: tf.Tensor | None, step: tf.Tensor | int, training: bool
    ) -> dict[str, tf.Tensor]:
        """Return the loss and accuracy of telling photos apart: float32 scalars.

        Args:
            images, step, training: see `Pretext`.
            labels: int32 (batch,), the indices of the photos.
        """
        patches = transformed_patches(images, self.seed, step, salt=71, copies=COPIES)  # (2 batch, patch, patch, 3)
        outputs = self.head(self.backbone(patches, training=training)["conv5"], training=training)
        photos = tf.tile(labels, [COPIES])  # (2 batch,)
        return triplets(outputs, photos) if self.by_triplets else classification(outputs, photos)


def triplets(outputs: tf.Tensor, photos: tf.Tensor) -> dict[str, tf.Tensor]:
    """Return the loss of all triplets of a batch, and the share of them whose distances are in the right order.

    Args:
        outputs: float32 (2 batch, numbers); patches i and i + batch are of one photo.
        photos: integers (2 batch,), which.

    Returns:
        float32 scalars: "pretext_loss", the mean of the distance to the other patch of the photo, less that to a patch
        of another one, plus `MARGIN`, where this is above 0; "pretext_accuracy".
    """
    unit = tf.math.l2_normalize(outputs, axis=-1)
    distances = 2 - 2 * tf.matmul(unit, unit, transpose_b=True)  # (2 batch, 2 batch), squared
    shifted = tf.roll(distances, tf.shape(unit)[0] // 2, axis=1)  # column i: the distance to the other patch of i
    positive = tf.linalg.diag_part(shifted)[:, None]  # (2 batch, 1)
    others = tf.cast(photos[:, None] != photos[None, :], tf.float32)
    loss = tf.reduce_sum(others * tf.nn.relu(positive - distances + MARGIN))
    right = tf.reduce_sum(others * tf.cast(positive < distances, tf.float32))
    count = tf.reduce_sum(others)
    return {
        "pretext_loss": tf.math.divide_no_nan(loss, count),
        "pretext_accuracy": tf.math.divide_no_nan(right, count),
    }
