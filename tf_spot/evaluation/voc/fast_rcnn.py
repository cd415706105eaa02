"""Fast R-CNN on the backbone: the class of a region and a better box for it.

Source: Girshick, "Fast R-CNN", ICCV 2015.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import keras
import tensorflow as tf

from tf_spot.config import LAYERS
from tf_spot.data.voc import CLASSES
from tf_spot.models.backbones import Backbone

NAMES = ("background", *CLASSES)
CELLS = 6  # per side of a pooled region, as AlexNet's last pooling gives
SAMPLES = 2 * CELLS  # per side of a region before pooling
DROPOUT = 0.5  # after each large layer. Source: AlexNet
SPREAD = (0.1, 0.1, 0.2, 0.2)  # of the four offsets, so that all are about as large as 1


class Detector(keras.Model):
    """RoI pooling on conv5, two large layers, and the two heads.

    The large layers start anew, as pre-training does not give them.

    Args:
        backbone: gives {"conv5": (batch, h, w, channels)}; used, not copied.
        units: of each large layer; 4,096 in AlexNet.
        norms: batch norm while training, see `Classifier`.
        trained_layers: convolutions that are trained, from the top.

    Call arguments:
        inputs: images (batch, height, width, 3) in [-1, 1]; boxes (regions, 4): top, left, bottom, right as shares of
            the image's sides; owners (regions,): the image that a region is in.

    Returns:
        logits (regions, 21) and offsets (regions, 21, 4), see `moved`.
    """

    def __init__(self, backbone: Backbone, *, units: int, norms: str, trained_layers: int) -> None:
        super().__init__(name="detector")
        self.backbone, self.norms = backbone, norms
        for layer in itertools.chain(*backbone.stages[: len(LAYERS) - trained_layers]):
            layer.trainable = False
        self.large = [keras.layers.Dense(units, "relu", kernel_initializer="he_normal") for _ in range(2)]
        self.dropout = keras.layers.Dropout(DROPOUT)
        normal = keras.initializers.RandomNormal
        self.classes = keras.layers.Dense(len(NAMES), kernel_initializer=normal(stddev=0.01))
        self.offsets = keras.layers.Dense(4 * len(NAMES), kernel_initializer=normal(stddev=0.001))

    def call(
        self, inputs: tuple[tf.Tensor, tf.Tensor, tf.Tensor], training: bool = False
    ) -> tuple[tf.Tensor, tf.Tensor]:
        images, boxes, owners = inputs
        maps = self.backbone(images, training=training and self.norms == "adapt")["conv5"]  # (batch, h, w, channels)
        pooled = pool_regions(maps, boxes, owners)  # (regions, CELLS, CELLS, channels)
        x = tf.reshape(pooled, (-1, CELLS * CELLS * pooled.shape[-1]))
        for layer in self.large:
            x = self.dropout(layer(x), training=training)
        return self.classes(x), tf.reshape(self.offsets(x), (-1, len(NAMES), 4))

    def compute_loss(
        self,
        x: tuple[tf.Tensor, ...],
        y: tuple[tf.Tensor, tf.Tensor],
        y_pred: tuple[tf.Tensor, tf.Tensor],
        sample_weight: tf.Tensor | None = None,
        training: bool = True,
    ) -> tf.Tensor:
        """Return `detection_loss`, a scalar."""
        return detection_loss(*y, *y_pred)


def pool_regions(maps: tf.Tensor, boxes: tf.Tensor, owners: tf.Tensor) -> tf.Tensor:
    """Pool each region to a grid of `CELLS` x `CELLS`: the largest of two by two bilinear samples per cell.

    `tf.image.crop_and_resize`, then `tf.nn.max_pool2d`. Girshick's pooling takes the largest of all values in a cell,
    after rounding the region to whole values of the map: too coarse for the small maps of small images.

    Args:
        maps: (images, h, w, channels).
        boxes, owners: see `Detector`.

    Returns:
        (regions, CELLS, CELLS, channels).
    """
    size = tf.cast(tf.shape(maps)[1:3], tf.float32)  # (2,): h, w
    corner, end = boxes[:, :2] * size, boxes[:, 2:] * size
    step = (end - corner) / SAMPLES  # (regions, 2)
    first = corner + step / 2 - 0.5  # the centre of the first sample, where the centre of the map's first value is 0
    return tf.nn.max_pool2d(_sampled(maps, first, step, owners), 2, 2, "VALID")


@tf.custom_gradient
def _sampled(
    maps: tf.Tensor, first: tf.Tensor, step: tf.Tensor, owners: tf.Tensor
) -> tuple[tf.Tensor, Callable[[tf.Tensor], tuple[tf.Tensor | None, ...]]]:
    """Sample each region bilinearly: (regions, SAMPLES, SAMPLES, channels); differentiable by the maps alone.

    The gradient of `tf.image.crop_and_resize` is not deterministic on a GPU; this one is made of matrix products.

    Args:
        maps: (images, h, w, channels).
        first, step: (regions, 2), the centre of the first sample and the distance to the next, in values of the map.
        owners: (regions,).
    """
    # One value is repeated at each edge: beyond the edges of the map itself `crop_and_resize` would read zeros.
    padded = tf.pad(maps, [[0, 0], [1, 1], [1, 1], [0, 0]], "SYMMETRIC")
    # (regions, 4): the centres of the first and the last sample, as shares of the padded map
    corners = tf.concat([first + 1, first + 1 + step * (SAMPLES - 1)], axis=1)
    corners /= tf.tile(tf.cast(tf.shape(maps)[1:3], tf.float32) + 1, [2])
    crops = tf.image.crop_and_resize(padded, corners, owners, (SAMPLES, SAMPLES))

    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor | None, ...]:
        images, height, width, channels = tf.unstack(tf.shape(maps))
        rows, columns = _weights(first[:, 0], step[:, 0], height), _weights(first[:, 1], step[:, 1], width)
        # (regions, SAMPLES, SAMPLES, channels) to (regions, SAMPLES, w, channels), then to the map of each one's owner
        wide = tf.einsum("rxw,ryxc->rywc", columns, upstream)
        owned = tf.einsum("ryh,ri->ryih", rows, tf.one_hot(owners, images))
        summed = tf.matmul(
            tf.reshape(owned, (-1, images * height)), tf.reshape(wide, (-1, width * channels)), transpose_a=True
        )
        return tf.reshape(summed, (images, height, width, channels)), None, None, None

    return crops, gradient


def _weights(first: tf.Tensor, step: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """Return what each value of a line of `size` adds to each sample of a region: (regions, SAMPLES, size)."""
    centres = first[:, None] + step[:, None] * tf.range(SAMPLES, dtype=tf.float32)  # (regions, SAMPLES)
    centres = tf.clip_by_value(centres, 0.0, tf.cast(size - 1, tf.float32))
    return tf.maximum(0.0, 1.0 - tf.abs(centres[..., None] - tf.range(size, dtype=tf.float32)))


def detection_loss(classes: tf.Tensor, targets: tf.Tensor, logits: tf.Tensor, offsets: tf.Tensor) -> tf.Tensor:
    """Return the cross-entropy plus, for regions with an object, the smooth absolute error of its class's offsets.

    Args:
        classes: whole numbers (regions,), 0 = background.
        targets: (regions, 4), see `offsets_to`.
        logits, offsets: see `Detector`.

    Returns:
        a scalar, the mean over all regions.
    """
    classes = tf.cast(classes, tf.int32)
    entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(classes, logits)
    error = tf.abs(tf.gather(offsets, classes, batch_dims=1) - targets)  # (regions, 4)
    smooth = tf.reduce_sum(tf.where(error < 1, error**2 / 2, error - 0.5), axis=1)
    return tf.reduce_mean(entropy + tf.where(classes > 0, smooth, 0.0))


def offsets_to(boxes: tf.Tensor, objects: tf.Tensor) -> tf.Tensor:
    """Return what turns boxes into objects, both (n, 4): offsets (n, 4).

    Moves of the centre in heights and widths of the box, then logarithms of the growth of both, over `SPREAD`.
    """
    (centre, size), (wanted, extent) = _centred(boxes), _centred(objects)
    return tf.concat([(wanted - centre) / size, tf.math.log(extent / size)], axis=-1) / SPREAD


def moved(boxes: tf.Tensor, offsets: tf.Tensor) -> tf.Tensor:
    """Move boxes (n, 4) by the offsets (n, classes, 4) of every class: (n, classes, 4), within the image."""
    centre, size = (pair[:, None] for pair in _centred(boxes))  # (n, 1, 2) each
    offsets = offsets * SPREAD
    middle = centre + offsets[..., :2] * size
    half = size * tf.exp(tf.minimum(offsets[..., 2:], 4.0)) / 2  # a wild offset must not overflow
    return tf.clip_by_value(tf.concat([middle - half, middle + half], axis=-1), 0.0, 1.0)


def _centred(boxes: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the centres and the sizes of boxes (..., 4), both (..., 2)."""
    boxes = tf.convert_to_tensor(boxes)
    return (boxes[..., :2] + boxes[..., 2:]) / 2, boxes[..., 2:] - boxes[..., :2]
