"""Baseline: count visual primitives, so that the parts of a photo add up to the whole."""

from __future__ import annotations

import tensorflow as tf

from tf_spot.baselines.patches import normalised, whole_numbers
from tf_spot.baselines.pretext import Pretext, head_on
from tf_spot.distributed.replicas import example_uniform, global_uniform
from tf_spot.ops.registry import register

COUNTS = 256  # numbers that a picture is counted in
MARGIN = 10.0  # squared distance that the counts of two photos should keep
# What the head's numbers are multiplied by: counts of two photos begin a squared distance of about one apart, below the
# margin, so that the margin acts from the first step.
UNIT = COUNTS**-0.5
GREY_SHARE = 2 / 3  # of the batches, made grey
DOWNSAMPLINGS = ("area", "bicubic", "lanczos3")


@register
class Counting(Pretext):
    """Counts primitives: the counts of a photo at half its size equal the sum of the counts of its four quarters.

    All five pictures have the same size and pass the same network. Its last layer has a ReLU, as counts are not
    negative. The authors' precautions: as counts of zero would solve the task, those of another photo of the batch must
    differ from the sum by a margin; the photo is made smaller by a method drawn at random, and without antialiasing,
    else its sharpness and the traces of the one method tell the whole from a part; most photos are grey, against
    chromatic aberration, which tells the quarters apart. Grey is drawn for a whole batch: were it drawn for each photo,
    whether there is any colour would tell two photos apart.

    Source: Noroozi, Pirsiavash and Favaro, "Representation learning by learning to count", ICCV 2017.
    Deviation: 256 counts, there 1000; one hidden layer with batch norm before them, there two without; the other photo
    is the one before in the batch; every picture is normalised by itself, as in the authors' jigsaw; three ways of
    downsampling, there four: at half the size bilinear is the same as by area; the rate is the recipe's, there 0.0001.
    """

    def build_heads(self) -> None:
        side = self.grid_size(self.image_size // 2)
        self.head = head_on(self, COUNTS, side, side, self.channels)

    def task_metrics(
        self, images: tf.Tensor, labels: tf.Tensor | None, step: tf.Tensor | int, training: bool
    ) -> dict[str, tf.Tensor]:
        """Return the contrastive loss, and how often a photo's parts fit it better than another: float32 scalars."""
        batch = tf.shape(images)[0]
        grey = global_uniform(self.seed, 51, step, 1, ())[0] < GREY_SHARE  # one draw, the same on all replicas
        images = tf.where(grey, tf.reduce_mean(images, axis=-1, keepdims=True), images)
        methods = whole_numbers(example_uniform(self.seed, 52, step, batch, ()), len(DOWNSAMPLINGS))
        pictures = tf.concat([downsampled(images, methods), *quarters(images)], axis=0)  # (5 batch, half, half, 3)
        counts = self.counts(normalised(pictures), training)
        whole, *parts = tf.split(counts, 5)  # (batch, COUNTS) each
        return contrast(whole, tf.add_n(parts))

    def counts(self, pictures: tf.Tensor, training: bool) -> tf.Tensor:
        """Count in pictures (batch, half, half, 3): float32 (batch, COUNTS), not negative."""
        conv5 = self.backbone(pictures, training=training)["conv5"]
        return UNIT * tf.nn.relu(self.head(conv5, training=training))


def downsampled(images: tf.Tensor, methods: tf.Tensor) -> tf.Tensor:
    """Halve the sides of each image by its own method.

    Args:
        images: float32 (batch, size, size, 3) in [-1, 1].
        methods: int32 (batch,), indices into `DOWNSAMPLINGS`.

    Returns:
        float32 (batch, size / 2, size / 2, 3) in [-1, 1].
    """
    half = images.shape[1] // 2
    each = [tf.image.resize(images, (half, half), method) for method in DOWNSAMPLINGS]
    # Bicubic and Lanczos kernels are negative in places and overshoot.
    return tf.clip_by_value(tf.gather(tf.stack(each, axis=1), methods, batch_dims=1), -1.0, 1.0)


def quarters(images: tf.Tensor) -> list[tf.Tensor]:
    """Cut each image into four, row by row: (batch, size, size, 3) to four of (batch, size / 2, size / 2, 3)."""
    half = images.shape[1] // 2
    corners = [(row, column) for row in (0, half) for column in (0, half)]
    return [images[:, row : row + half, column : column + half] for row, column in corners]


def contrast(whole: tf.Tensor, total: tf.Tensor) -> dict[str, tf.Tensor]:
    """Return the contrastive loss of counts.

    Args:
        whole: float32 (batch, COUNTS), of the photos.
        total: float32 (batch, COUNTS), the sums over their quarters.

    Returns:
        float32 scalars: "pretext_loss", the squared distance of the two plus what the squared distance to another
        photo's counts lacks to the margin; "pretext_accuracy", how often the former distance is the smaller, by chance
        one half.
    """
    same = tf.reduce_sum(tf.math.squared_difference(whole, total), axis=1)  # (batch,)
    other = tf.reduce_sum(tf.math.squared_difference(tf.roll(whole, 1, axis=0), total), axis=1)
    return {
        "pretext_loss": tf.reduce_mean(same + tf.nn.relu(MARGIN - other)),
        "pretext_accuracy": tf.reduce_mean(tf.cast(same < other, tf.float32)),
    }
