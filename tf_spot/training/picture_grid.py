"""Draw held-out photos and what became of them, every so many epochs."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tf_spot.runs.run import Run
from tf_spot.visualization.pictures import grid, save_png


class PictureGrid(keras.callbacks.Callback):
    """Writes a grid of held-out photos and what became of them, every so many epochs.

    Args:
        position: has `stage`, `step`, `every(epochs)`.
        run: the pictures go into its folder.
        source: gives the photos, held-out ones if there are any.
        every: epochs between two grids.
        writer: a TensorBoard summary writer.
    """

    def __init__(self, position: Any, run: Run, source: Any, every: int, writer: Any) -> None:
        super().__init__()
        self.position, self.run, self.every, self.writer = position, run, every, writer
        self.photos = some_photos(source)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if not self.position.every(self.every):
            return
        rows = corruption_rows if hasattr(self.model, "corrupt") else reconstruction_rows
        picture = grid(rows(self.model, self.photos))
        save_png(self.run.picture_path(self.position.stage, epoch + 1), picture)
        with self.writer.as_default(step=self.position.step):
            tf.summary.image("pictures", picture[None])


def some_photos(source: Any) -> Any:
    """A few held-out photos, evenly spread over the classes; training photos where none is held out.

    Returns:
        float32 (photos, height, width, 3) in [-1, 1].
    """
    held_out = source.held_out(PHOTOS).unbatch()
    count = sum(1 for _ in held_out)
    if not count:
        return next(iter(source.images("train", PHOTOS)))
    return next(iter(held_out.shard(max(1, count // PHOTOS), 0).batch(PHOTOS)))


def reconstruction_rows(autoencoder: Any, images: Any) -> dict[str, np.ndarray]:
    """Images and their copies."""
    return {"images": np.asarray(images), "decoded": np.asarray(autoencoder(images))}


def corruption_rows(spotter: Any, images: Any) -> dict[str, np.ndarray]:
    """What stage 2 does to `images`.

    Args:
        images: float32 (photos, height, width, 3) in [-1, 1].

    Returns:
        rows by label, each (photos, height, width, 3 or 1) in [-1, 1]; white in a mask is "kept".
    """
    corrupted = spotter.corrupt(images, tf.constant(0))
    rows = {
        "images": images,
        "decoded": corrupted.decoded,
        "mask": 2 * corrupted.keep_mask - 1,
        "not repaired": spotter.autoencoder.decoder(corrupted.damaged),
        "repaired": corrupted.repaired,
    }
    answers = spotter.discriminator(corrupted.repaired)
    if "mask_logits" in answers:
        rows["predicted mask"] = 2 * tf.sigmoid(answers["mask_logits"]) - 1
    return {label: np.asarray(row) for label, row in rows.items()}


PHOTOS = 8  # a grid shows
