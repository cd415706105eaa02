"""Features of held-out photos for TensorBoard's projector."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from PIL import Image

from tf_spot.data.source import Source
from tf_spot.training.position import Position
from tf_spot.visualization.pictures import to_uint8

PHOTOS = 1024  # at most
THUMBNAIL = 64  # pixels, both sides
_BATCH = 64


class Projector(keras.callbacks.Callback):
    """Write conv5 of held-out photos, averaged over the map, with thumbnails and labels, when stage 2 ends.

    Args:
        position: of the stage.
        source: gives the photos.
        folder: of TensorBoard's events.
    """

    def __init__(self, position: Position, source: Source, folder: Path) -> None:
        super().__init__()
        self.position, self.source, self.folder = position, source, folder

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        if self.position.step == self.position.total_steps:
            step = max(1, -(-self.source.count("held_out") // PHOTOS))  # rounded up: at most PHOTOS
            photos = self.source.held_out_labelled(_BATCH).unbatch().shard(step, 0).batch(_BATCH)
            batches = [(tf.reduce_mean(self.model.backbone(images)["conv5"], axis=(1, 2)), images, labels)
                       for images, labels in photos]  # fmt: skip
            features, images, labels = (np.concatenate(parts) for parts in zip(*batches, strict=True))
            write_projection(self.folder, features, images, label_texts(labels, self.source.class_names))


def label_texts(labels: np.ndarray, class_names: list[str] | None) -> list[str]:
    """Return one line per photo: the name of its class, or its index; "" where there is no label.

    Args:
        labels: int (photos,), -1 where there is none.
        class_names: by label, None where the source has no names.
    """
    names = [" ".join(str(name).split()) for name in class_names or []]  # a tab or line break would split the line
    return ["" if label < 0 else names[label] if names else str(label) for label in labels]


def write_projection(folder: Path, features: np.ndarray, images: np.ndarray, labels: list[str]) -> None:
    """Write the files that TensorBoard's projector reads.

    Args:
        folder: of TensorBoard's events.
        features: (photos, dim).
        images: (photos, height, width, 3) in [-1, 1], square.
        labels: one per photo.
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
    """Lay thumbnails row by row into a square, as the projector expects them.

    Args:
        images: (photos, height, width, 3) in [-1, 1].

    Returns:
        an RGB image; cells without a photo are white.
    """
    side = int(np.ceil(np.sqrt(len(images))))  # cells
    canvas = Image.new("RGB", (side * THUMBNAIL, side * THUMBNAIL), "white")
    for index, image in enumerate(images):
        row, column = divmod(index, side)
        small = Image.fromarray(to_uint8(image)).resize((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)
        canvas.paste(small, (column * THUMBNAIL, row * THUMBNAIL))
    return canvas
