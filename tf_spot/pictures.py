"""Pictures of what the networks do, as PNG."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from PIL import Image, ImageDraw

from tf_spot.runs import Run, write_file

PHOTOS = 8  # a grid shows
_GAP, _LABEL_WIDTH = 2, 130  # pixels
_SMALLEST = 64  # pixels a side of a picture in a grid; smaller ones are enlarged


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


def grid(rows: dict[str, np.ndarray]) -> np.ndarray:
    """Rows of pictures with their labels on the left.

    Args:
        rows: label to pictures (photos, h, w, 1 or 3) in [-1, 1]; small ones are enlarged, cells staying square.

    Returns:
        uint8 (height, width, 3).
    """
    size = max(_SMALLEST, *(row.shape[1] for row in rows.values()))
    strips = [_strip([_enlarged(picture, size) for picture in row]) for row in rows.values()]
    canvas = Image.new("RGB", (_LABEL_WIDTH + strips[0].shape[1], len(rows) * (size + _GAP)), "white")
    draw = ImageDraw.Draw(canvas)
    for number, (label, strip) in enumerate(zip(rows, strips, strict=True)):
        top = number * (size + _GAP)
        canvas.paste(Image.fromarray(strip), (_LABEL_WIDTH, top))
        draw.text((8, top + size // 2), label, fill="black", anchor="lm", font_size=16)
    return np.asarray(canvas)


def conv1_filters(backbone: Any) -> np.ndarray:
    """The filters of the first layer as a picture, each stretched to its own range.

    Returns:
        uint8 (height, width, 3); 16 filters a row.

    Source: the authors' code shows them so.
    """
    kernels = np.moveaxis(np.asarray(backbone.first_conv.kernel), -1, 0)  # (filters, k, k, 3)
    low, high = (f(kernels, axis=(1, 2, 3), keepdims=True) for f in (np.min, np.max))
    stretched = 2 * (kernels - low) / np.maximum(high - low, 1e-12) - 1
    tiles = [_enlarged(kernel, 8 * kernel.shape[0]) for kernel in stretched]
    blank = np.full_like(tiles[0], 255)
    tiles += [blank] * (-len(tiles) % 16)
    return np.concatenate([_strip(tiles[i : i + 16]) for i in range(0, len(tiles), 16)])


def save_png(path: Path, picture: np.ndarray) -> None:
    """Writes uint8 (height, width, 3)."""
    write_file(path, lambda aside: Image.fromarray(picture).save(aside, format="PNG"))


def _enlarged(picture: np.ndarray, size: int) -> np.ndarray:
    """(h, w, 1 or 3) in [-1, 1] as uint8 (size, size, 3), by whole pixels."""
    levels = np.clip(np.round((picture + 1) * 127.5), 0, 255).astype(np.uint8)
    colour = np.broadcast_to(levels, (*levels.shape[:2], 3))
    return np.asarray(Image.fromarray(colour).resize((size, size), Image.Resampling.NEAREST))


def _strip(tiles: Sequence[np.ndarray]) -> np.ndarray:
    """Tiles side by side, a white gap after and below each."""
    return np.concatenate([np.pad(t, ((0, _GAP), (0, _GAP), (0, 0)), constant_values=255) for t in tiles], axis=1)
