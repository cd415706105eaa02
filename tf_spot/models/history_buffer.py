"""Past corrupted images, so that the discriminator does not forget earlier repair networks.

Source: paper (row (j) of Table 1) after Shrivastava et al., CVPR 2017: half of the corrupt images are past ones.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any, Unpack

import keras
import tensorflow as tf

from tf_spot.config import PAPER
from tf_spot.distributed.replicas import gather_rows, global_uniform, num_replicas, own_rows
from tf_spot.ops.hardware import form
from tf_spot.ops.registry import InputShape, LayerOptions, register


@register
class History(keras.layers.Layer):
    """For each index of the batch, `batches` past corrupted images with their keep masks.

    At each step every second index takes a past image of its own from a random slot and keeps its fresh one out of the
    buffer; the other indices pass their fresh image on and may store it. Indices swap roles with the step. Free slots
    are filled in order. Once all are filled, every `steps` steps each index overwrites one slot, drawn for all of them
    together. So a past image is `batches` * `steps` steps old on average, with a long tail.

    One slot for the whole batch is a piece of contiguous memory: storing costs its size, however large the buffer is.

    Every replica keeps the whole global batch, so that the buffer, its saved copy included, is the same however many
    devices share the batch. Images are kept as float32: 8-bit rounding would be a mark by which the discriminator could
    tell past images.

    Args:
        batches: slots per index.
        seed: of the random slots.
        steps: between two images that an index stores once its slots are filled, at least 2.

    Call arguments:
        repaired: fresh corrupted images (batch, height, width, 3).
        keep_mask: their masks (batch, h, w, 1).
        step: scalar integer.

    Attributes:
        saved: whether files of weights have the slots, most of what a checkpoint holds; a training that is resumed
            without them begins with an empty history.

    Returns:
        images and masks like the arguments, half of them past ones once there are any.

    Deviation: Shrivastava et al. overwrite random images of a buffer of hundreds of batches at every step. Here the
    buffer is small, and the age of its images comes from storing seldom: each of them is shown more often.
    """

    def __init__(
        self, batches: int, seed: int = 0, steps: int = PAPER.game.history_steps, **kwargs: Unpack[LayerOptions]
    ) -> None:
        super().__init__(**kwargs)
        self.batches, self.seed, self.steps = batches, seed, steps
        self.saved, self._loads = True, True

    def build(self, input_shape: InputShape, mask_shape: InputShape) -> None:
        """Make the slots for batches of these full shapes, the batch size over all replicas included."""
        # Weights of the layer, so that a checkpoint holds them and a resumed run goes on bit for bit.
        local: dict[str, Any] = {"trainable": False, "initializer": "zeros", "autocast": False}
        self.images = self.add_weight(shape=(self.batches, *input_shape), name="images", **local)
        self.masks = self.add_weight(shape=(self.batches, *mask_shape), name="masks", **local)
        self.stored = self.add_weight(shape=(input_shape[0],), dtype="int64", name="stored", **local)

    def call(self, repaired: tf.Tensor, keep_mask: tf.Tensor, step: tf.Tensor | int) -> tuple[tf.Tensor, tf.Tensor]:
        rows, step = self.images.shape[1], tf.cast(step, tf.int64)  # rows of the global batch
        fresh = gather_rows(repaired), gather_rows(keep_mask)  # (rows, ...) each
        buffers = [tf.convert_to_tensor(buffer) for buffer in (self.images, self.masks)]  # (batches, rows, ...) each
        stored = tf.convert_to_tensor(self.stored)  # (rows,): images that each index has stored so far
        indices = tf.range(rows, dtype=tf.int64)
        takes = tf.equal((indices + step) % 2, 0)  # roles swap with the step

        # The second number was the slot to fill in earlier versions, whose runs go on with the same first one.
        uniform = global_uniform(self.seed, 4, step, rows, (2,))[:, 0]  # (rows,): the slot to take
        slots = tf.cast(uniform * tf.cast(tf.minimum(stored, self.batches), tf.float32), tf.int64)
        use_past = takes & (stored > 0)
        past = [tf.gather_nd(buffer, tf.stack([slots, indices], axis=1)) for buffer in buffers]
        images, masks = (_rows_of(use_past, old, new) for old, new in zip(past, fresh, strict=True))

        slot, open_slot = self._slot_to_fill(stored, step)
        stores = ~takes & open_slot
        filled = [_rows_of(stores, new, tf.gather(buffer, slot)) for new, buffer in zip(fresh, buffers, strict=True)]
        # All has been read before a slot is written: memory that is still in use would be copied, the whole buffer.
        with tf.control_dependencies([images, masks, *filled]):
            for variable, value in zip((self.images, self.masks), filled, strict=True):
                _assign_slot(variable, slot, value)
        self.stored.assign(stored + tf.cast(stores, tf.int64))
        share = rows // num_replicas()
        return own_rows(images, share), own_rows(masks, share)

    def _slot_to_fill(self, stored: tf.Tensor, step: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the slot of this step, an int64 scalar, and whether images are stored in it, a boolean scalar."""
        # Those that store now have stored as often as any, or once less: the next free slot is theirs.
        free = tf.reduce_min(stored)
        # Two steps in a row, as each index stores at every second one; both draw the same slot.
        uniform = global_uniform(self.seed, 6, step // self.steps, 1, ())[0]
        random = tf.cast(uniform * self.batches, tf.int64)
        filling = free < self.batches
        return tf.where(filling, free, random), filling | (step % self.steps < 2)

    def save_own_variables(self, store: MutableMapping[str, Any]) -> None:
        """Save the slots, unless they are left out."""
        if self.saved:
            super().save_own_variables(store)

    def load_own_variables(self, store: Mapping[str, Any]) -> None:
        """Load the slots; if they were left out, begin with empty ones."""
        if len(store) and self._loads:
            super().load_own_variables(store)

    @contextlib.contextmanager
    def left_empty(self) -> Iterator[None]:
        """Leave the slots of a file that is loaded within: they are of batches of another size."""
        self._loads = False
        try:
            yield
        finally:
            self._loads = True

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"batches": self.batches, "seed": self.seed, "steps": self.steps}


def _rows_of(chosen: tf.Tensor, these: tf.Tensor, others: tf.Tensor) -> tf.Tensor:
    """Return `these` (rows, ...) in the rows where the boolean `chosen` (rows,) is true, else `others`."""
    return tf.raw_ops.Select(condition=chosen, x=these, y=others)  # whole rows; `tf.where` would broadcast to pixels


def _assign_slot(variable: keras.Variable, slot: tf.Tensor, value: tf.Tensor) -> None:
    """Write `value` (rows, ...) into a slot of a variable (batches, rows, ...), where it lies."""
    if form().jit_compile:  # XLA takes no slice whose place is computed
        here = tf.equal(tf.range(variable.shape[0], dtype=tf.int64), slot)  # (batches,)
        variable.assign(tf.where(tf.reshape(here, (-1, *[1] * len(value.shape))), value, variable))
        return
    tf.raw_ops.ResourceStridedSliceAssign(
        ref=variable.value.handle,
        begin=slot[None],
        end=slot[None] + 1,
        strides=tf.ones(1, tf.int64),
        value=value,
        shrink_axis_mask=1,
    )
