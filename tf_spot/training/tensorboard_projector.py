"""Features of held-out photos for TensorBoard's projector."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from PIL import Image

from tf_spot.visualization.pictures import to_uint8

PHOTOS = 1024  # at most
THUMBNAIL = 64  # pixels a side
_BATCH = 64


class Projector(keras.callbacks.Callback):
    """Writes conv5, averaged over the map, of held-out photos when stage 2 ends, with thumbnails and labels.

    Args:
        position: has `step` and `total_steps`.
        source: see `tf_spot.data`.
        folder: that of TensorBoard's events.
    """

    def __init__(self, position: Any, source: Any, folder: Path) -> None:
        super().__init__()
        self.position, self.source, self.folder = position, source, folder

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if self.position.step == self.position.total_steps:
            step = max(1, -(-self.source.count("held_out") // PHOTOS))
            photos = self.source.held_out_labelled(_BATCH).unbatch().shard(step, 0).batch(_BATCH)
            found = [(tf.reduce_mean(self.model.backbone(images)["conv5"], axis=(1, 2)), images, labels)
                     for images, labels in photos]  # fmt: skip
            features, images, labels = (np.concatenate(parts) for parts in zip(*found, strict=True))
            write_projection(self.folder, features, images, label_texts(labels, self.source.class_names))


def label_texts(labels: np.ndarray, class_names: list[str] | None) -> list[str]:
    """A line a photo: the name of its class, or its number; "" where there is no label."""
    names = [" ".join(str(name).split()) for name in class_names or []]
    return ["" if label < 0 else names[label] if names else str(label) for label in labels]


def write_projection(folder: Path, features: np.ndarray, images: np.ndarray, labels: list[str]) -> None:
    """Writes what TensorBoard's projector reads.

    Args:
        folder: that of TensorBoard's events.
        features: (photos, dim).
        images: (photos, height, width, 3) in [-1, 1], square.
        labels: one a photo.
    """
    from tensorboard.plugins.projector import ProjectorConfig, visualize_embeddings

    (folder / "projector").mkdir(parents=True, exist_ok=True)
    np.savetxt(folder / "projector" / "features.tsv", features, fmt="%.6g", delimiter="\t")
    sprite(images).save(folder / "projector" / "photos.png")
    config = ProjectorConfig()
    embedding = config.embeddings.add()
    embedding.tensor_name, embedding.tensor_path = "conv5 of held-out photos", "projector/features.tsv"
    embedding.sprite.image_path = "projector/photos.png"
    embedding.sprite.single_image_dim.extend([THUMBNAIL, THUMBNAIL])
    if any(labels):
        (folder / "projector" / "labels.tsv").write_text("\n".join(labels) + "\n", encoding="utf-8")
        embedding.metadata_path = "projector/labels.tsv"
    visualize_embeddings(str(folder), config)


def sprite(images: np.ndarray) -> Image.Image:
    """Thumbnails row by row in a square, as the projector wants them."""
    side = int(np.ceil(np.sqrt(len(images))))
    canvas = Image.new("RGB", (side * THUMBNAIL, side * THUMBNAIL), "white")
    for number, image in enumerate(images):
        levels = to_uint8(image)
        row, column = divmod(number, side)
        small = Image.fromarray(levels).resize((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)
        canvas.paste(small, (column * THUMBNAIL, row * THUMBNAIL))
    return canvas
