"""Baseline: predict what a slowly moving copy of the network says of another view."""

from __future__ import annotations

from collections.abc import Iterator

import keras
import tensorflow as tf

from tf_spot.baselines.pretext import Examples, Pretext, head_on
from tf_spot.baselines.two_views import two_views
from tf_spot.ops.registry import register

PROJECTION = 128  # units of the projection, and of its prediction
TAU = 0.99  # what the target keeps of itself in a step


@register
class BYOL(Pretext):
    """Predicts, from one view of an image, the target network's projection of its other view.

    No image is pushed away from any other, so that one constant for all images would be a perfect answer. The authors'
    two precautions against it: the target network is a moving average of the online one (backbone and projection),
    which no gradient reaches; and only the online network has a predictor. The online backbone transfers.

    The accuracy, which is not part of the loss, tells an answer from a constant: it is the share of predictions whose
    nearest target, of all views in the batch, is of their own image.

    Source: Grill et al., "Bootstrap your own latent: a new approach to self-supervised learning", NeurIPS 2020.
    Deviation: `TAU` is fixed, at a value that their ablation found nearly as good, where theirs rises from 0.996 to 1
    over a training of hundreds of epochs; both views are augmented in the same way, without blur and solarization;
    batch norm takes the moments of both views together; projection and prediction have 128 outputs and the recipe's
    hidden units, there 256 and 4096; no LARS and no large batches.
    """

    def build_heads(self) -> None:
        self.projection = head_on(self, PROJECTION, self.channels)
        self.prediction = head_on(self, PROJECTION, PROJECTION)
        self.target_backbone = self.backbone.from_config(self.backbone.get_config())
        self.target_projection = head_on(self, PROJECTION, self.channels)
        for online, target in self._pairs():
            target.assign(online)
        # Not trained: the optimizer, the weight decay and the gradient leave them out.
        self.target_backbone.trainable = self.target_projection.trainable = False

    def task_metrics(
        self, images: tf.Tensor, labels: tf.Tensor | None, step: tf.Tensor | int, training: bool
    ) -> dict[str, tf.Tensor]:
        """Return the squared error between unit vectors, 0 to 4, and the accuracy of telling images by it."""
        views = two_views(images, self.seed, step)  # (2 batch, size, size, 3)
        predicted = tf.math.l2_normalize(self.prediction(self.projected(views, training), training=training), axis=-1)
        targets = tf.math.l2_normalize(self.targets(views, training), axis=-1)
        # Each view predicts the other one: the halves change places.
        targets = tf.roll(targets, tf.shape(images)[0], axis=0)
        similarities = tf.matmul(predicted, targets, transpose_b=True)  # (2 batch, 2 batch), cosines
        nearest, batch = tf.argmax(similarities, axis=1, output_type=tf.int32), tf.shape(images)[0]
        right = tf.equal(nearest % batch, tf.range(2 * batch) % batch)
        return {
            "pretext_loss": tf.reduce_mean(2 - 2 * tf.linalg.diag_part(similarities)),
            "pretext_accuracy": tf.reduce_mean(tf.cast(right, tf.float32)),
        }

    def projected(self, views: tf.Tensor, training: bool) -> tf.Tensor:
        """Return the online network's projections of views (views, size, size, 3): float32 (views, PROJECTION)."""
        maps = self.backbone(views, training=training)
        return self.projection(tf.reduce_mean(maps["conv5"], axis=(1, 2)), training=training)

    def targets(self, views: tf.Tensor, training: bool) -> tf.Tensor:
        """Return the target network's projections, like `projected`; no gradient passes."""
        # Not by a call, which takes a frozen backbone to be at inference. Its batch norm uses the batch's moments, as
        # that of the online network, and its moving moments follow the online network's, as all its weights.
        maps = self.target_backbone.of_pixels(views * 127.5 + 127.5, training, update_statistics=False)
        pooled = tf.reduce_mean(maps["conv5"], axis=(1, 2))
        return tf.stop_gradient(self.target_projection(pooled, training=training, update_statistics=False))

    def train_step(self, data: Examples) -> dict[str, tf.Tensor]:
        """Apply one optimizer update, see `Pretext`, and let the target network follow."""
        logs = super().train_step(data)
        self.follow()
        return logs

    def follow(self) -> None:
        """Move every weight of the target network a step towards the online network's."""
        for online, target in self._pairs():
            target.assign(TAU * target + (1 - TAU) * online)

    def _pairs(self) -> Iterator[tuple[keras.Variable, keras.Variable]]:
        """Yield the weights of the online network, each with that of the target network."""
        for online, target in (
            (self.backbone, self.target_backbone),
            (self.projection, self.target_projection),
        ):
            yield from zip(online.weights, target.weights, strict=True)
