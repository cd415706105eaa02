"""Draw held-out photos and what the networks make of them, every so many epochs."""

from __future__ import annotations

from collections.abc import Mapping

import keras
import numpy as np
import tensorflow as tf

from tf_spot.data.source import Source
from tf_spot.models.autoencoder import Autoencoder
from tf_spot.models.gan import GAN
from tf_spot.models.spotter import ArtifactSpotter
from tf_spot.runs.run import Run
from tf_spot.training.position import Position
from tf_spot.visualization.pictures import grid, save_png

PHOTOS = 8  # of a grid


class PictureGrid(keras.callbacks.Callback):
    """Write a grid of held-out photos and what the networks make of them, every `every` epochs.

    Args:
        position: of the stage.
        run: the pictures go into its folder.
        source: gives the photos, held-out ones if there are any.
        every: epochs between two grids.
        writer: of TensorBoard's events.
    """

    def __init__(
        self, position: Position, run: Run, source: Source, every: int, writer: tf.summary.SummaryWriter
    ) -> None:
        super().__init__()
        self.position, self.run, self.every, self.writer = position, run, every, writer
        self.photos = some_photos(source)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        if not self.position.every(self.every):
            return
        corrupts = hasattr(self.model, "corrupt")
        rows, tag = (corruption_rows, "pictures/repaired") if corrupts else (reconstruction_rows, "pictures/decoded")
        picture = grid(rows(self.model, self.photos))
        save_png(self.run.picture_path(self.position.stage, epoch + 1), picture)
        with self.writer.as_default(step=self.position.step):
            tf.summary.image(tag, picture[None])  # (1, height, width, 3)


def some_photos(source: Source) -> tf.Tensor:
    """Return a few held-out photos, evenly spread over the classes; training photos where none is held out.

    Returns:
        float32 (photos, height, width, 3) in [-1, 1].
    """
    held_out = source.held_out(PHOTOS).unbatch()
    count = sum(1 for _ in held_out)
    if not count:
        return next(iter(source.images("train", PHOTOS)))
    # They keep the order of the source, in a folder that of its classes, so equal steps reach all classes.
    return next(iter(held_out.shard(max(1, count // PHOTOS), 0).batch(PHOTOS)))


def reconstruction_rows(autoencoder: Autoencoder, images: tf.Tensor) -> dict[str, np.ndarray]:
    """Return images and their copies.

    Args:
        autoencoder: of stage 1.
        images: float32 (photos, height, width, 3) in [-1, 1].

    Returns:
        pictures by label, each like `images`.
    """
    return {"images": np.asarray(images), "decoded": np.asarray(autoencoder(images))}


def corruption_rows(spotter: ArtifactSpotter, images: tf.Tensor) -> dict[str, np.ndarray]:
    """Return what stage 2 makes of images.

    Args:
        spotter: of stage 2.
        images: float32 (photos, height, width, 3) in [-1, 1].

    Returns:
        pictures by label, each (photos, height, width, 3 or 1) in [-1, 1]; white in a mask is "kept".
    """
    corrupted = spotter.corrupt(images, tf.constant(0))
    rows = {"images": images, "decoded": corrupted.decoded}
    if isinstance(spotter, GAN):
        rows["generated"] = corrupted.repaired
    else:
        rows |= {
            "mask": 2 * corrupted.keep_mask - 1,  # (photos, h, w, 1), from [0, 1] to [-1, 1]
            "not repaired": spotter.autoencoder.decoder(corrupted.damaged),
            "repaired": corrupted.repaired,
        }
    answers = spotter.discriminator(corrupted.repaired)
    if "mask_logits" in answers:  # a GAN's discriminator has none
        rows["predicted mask"] = 2 * tf.sigmoid(answers["mask_logits"]) - 1  # (photos, h, w, 1)
    return {label: np.asarray(row) for label, row in rows.items()}
