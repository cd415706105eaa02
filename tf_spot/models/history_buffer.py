"""Past corrupted images, so that the discriminator does not forget earlier repair networks.

Source: paper (row (j) of Table 1) after Shrivastava et al., CVPR 2017: half of the corrupt images are past ones.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from typing import Any, Unpack

import keras
import tensorflow as tf

from tf_spot.distributed.replicas import gather_rows, global_uniform, num_replicas, own_rows
from tf_spot.ops.registry import InputShape, LayerOptions, register


@register
class History(keras.layers.Layer):
    """For each index of the batch, `batches` past corrupted images with their keep masks.

    At each step every second index takes a past image of its own and keeps its fresh one out of the buffer; the other
    indices pass their fresh image on and store it, in the next free slot or, once all are filled, in a random one.
    Indices swap roles with the step. Every replica keeps the whole global batch, so that the buffer, its saved copy
    included, is the same however many devices share the batch.

    Images are kept as float32: 8-bit rounding would be a mark by which the discriminator could tell past images.

    Args:
        batches: slots per index.
        seed: of the random slots.

    Call arguments:
        repaired: fresh corrupted images (batch, height, width, 3).
        keep_mask: their masks (batch, h, w, 1).
        step: scalar integer.

    Attributes:
        saved: whether files of weights have the slots, most of what a checkpoint holds; a training that is resumed
            without them begins with an empty history.

    Returns:
        images and masks like the arguments, half of them past ones once there are any.
    """

    def __init__(self, batches: int, seed: int = 0, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        self.batches, self.seed = batches, seed
        self.saved = True

    def build(self, input_shape: InputShape, mask_shape: InputShape) -> None:
        """Make the slots for batches of these full shapes, the batch size over all replicas included."""
        # Weights of the layer, so that a checkpoint holds them and a resumed run goes on bit for bit.
        local: dict[str, Any] = {"trainable": False, "initializer": "zeros"}
        self.images = self.add_weight(shape=(self.batches, *input_shape), name="images", **local)
        self.masks = self.add_weight(shape=(self.batches, *mask_shape), name="masks", **local)
        self.stored = self.add_weight(shape=(input_shape[0],), dtype="int64", name="stored", **local)

    def call(self, repaired: tf.Tensor, keep_mask: tf.Tensor, step: tf.Tensor | int) -> tuple[tf.Tensor, tf.Tensor]:
        rows = self.images.shape[1]  # of the global batch
        repaired, keep_mask = gather_rows(repaired), gather_rows(keep_mask)  # (rows, ...)
        indices = tf.range(rows, dtype=tf.int64)
        stored = tf.convert_to_tensor(self.stored)  # (rows,): images that each index has stored so far
        uniform = global_uniform(self.seed, 4, step, rows, (2,))  # (rows, 2): the slot to take, the slot to fill
        takes = tf.equal((indices + tf.cast(step, tf.int64)) % 2, 0)  # roles swap with the step

        past = _cells(uniform[:, 0] * tf.cast(tf.minimum(stored, self.batches), tf.float32), indices)
        use_past = (takes & (stored > 0))[:, None, None, None]  # (rows, 1, 1, 1): broadcasts over pixels
        images = tf.where(use_past, tf.gather_nd(self.images, past), repaired)
        masks = tf.where(use_past, tf.gather_nd(self.masks, past), keep_mask)

        # Free slots are filled in order, then random ones are overwritten: an image's age has a long tail.
        slot = tf.where(stored < self.batches, tf.cast(stored, tf.float32), uniform[:, 1] * self.batches)
        keeps = tf.where(~takes)[:, 0]
        target = tf.gather(_cells(slot, indices), keeps)
        for buffer, fresh in ((self.images, repaired), (self.masks, keep_mask)):
            buffer.assign(tf.tensor_scatter_nd_update(buffer, target, tf.gather(fresh, keeps)))
        self.stored.assign(stored + tf.cast(~takes, tf.int64))
        share = rows // num_replicas()
        return own_rows(images, share), own_rows(masks, share)

    def save_own_variables(self, store: MutableMapping[str, Any]) -> None:
        """Save the slots, unless they are left out."""
        if self.saved:
            super().save_own_variables(store)

    def load_own_variables(self, store: Mapping[str, Any]) -> None:
        """Load the slots; if they were left out, begin with empty ones."""
        if len(store):
            super().load_own_variables(store)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"batches": self.batches, "seed": self.seed}


def _cells(slots: tf.Tensor, indices: tf.Tensor) -> tf.Tensor:
    """Positions (slot, index) in the buffer, (batch, 2)."""
    return tf.stack([tf.cast(slots, tf.int64), indices], axis=1)
