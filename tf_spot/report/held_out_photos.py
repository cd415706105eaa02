"""Held-out photos of a run and their vectors, for the sections of the page that show photos."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from PIL import Image

from tf_spot.data import Source, load
from tf_spot.errors import UserError
from tf_spot.evaluation.beside_random import untrained
from tf_spot.features.pixels import pixel_features
from tf_spot.features.pooling import averaged
from tf_spot.models.backbones import Backbone
from tf_spot.runs.run import Run
from tf_spot.visualization.pictures import to_uint8

PHOTOS = 512  # at most
BATCH = 64


class Photos(NamedTuple):
    """Some photos and their vectors."""

    pictures: np.ndarray  # uint8 (photos, image_size, image_size, 3)
    labels: np.ndarray | None  # int32 (photos,)
    class_names: Sequence[str]  # empty when the source has no names
    vectors: Mapping[str, np.ndarray]  # learned, random, raw pixels: float32 (photos, dim), of length 1
    description: str  # how many, and where they come from


def held_out_photos(run: Run, backbone: Backbone) -> Photos | str:
    """Return photos that were held out of the training of `run`, read again from the spec in its record.

    Returns:
        the photos, or the reason why they cannot be read.
    """
    config = run.config.data
    try:
        source = load(run.data["spec"], image_size=config.image_size, config=config)
    except UserError as error:
        return f"The photos of this run cannot be found from here: {error}"
    images, labels = _some(source)
    if not len(images):
        return "The photos of this run can no longer be read."
    labelled = labels.min() >= 0  # -1 stands for no label
    description = f"{len(images):,} photos, {'held out of' if source.count('held_out') else 'of'} the training"
    if source.fingerprint != run.data["fingerprint"]:
        description += "; they are not all the same as when it was trained"
    names = list(source.class_names or []) if labelled else []
    return Photos(to_uint8(images), labels if labelled else None, names, _vectors(backbone, images), description)


def _some(source: Source) -> tuple[np.ndarray, np.ndarray]:
    """Return at most `PHOTOS` held-out photos, evenly over the classes; photos of the training where none is held out.

    Returns:
        images float32 (photos, image_size, image_size, 3) in [-1, 1] and labels int32 (photos,), -1 without a label.
    """
    count = source.count("held_out")
    if count:
        stream = source.held_out_labelled(BATCH)
    else:
        count = source.count("train")
        stream = source.images("train", BATCH).map(lambda images: (images, tf.fill(tf.shape(images)[:1], -1)))
    # Every n-th photo: photos of a class lie together, so all classes are among them.
    chosen = list(stream.unbatch().shard(max(1, -(-count // PHOTOS)), 0).as_numpy_iterator())
    return np.array([image for image, _ in chosen]), np.array([label for _, label in chosen])


def _vectors(backbone: Backbone, images: np.ndarray) -> dict[str, np.ndarray]:
    """Return unit vectors float32 (photos, dim) of the images, by kind of features."""
    random = untrained(backbone, 0)
    features = {"learned": averaged(backbone), "random": averaged(random), "raw pixels": pixel_features}
    batches = [images[first : first + BATCH] for first in range(0, len(images), BATCH)]
    vectors = {name: np.concatenate([feature(batch) for batch in batches]) for name, feature in features.items()}
    return {name: rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
            for name, rows in vectors.items()}  # fmt: skip


def thumbnail(picture: np.ndarray, side: int) -> Image.Image:
    """Return a picture uint8 (size, size, 3) resized to `side` pixels."""
    return Image.fromarray(picture).resize((side, side), Image.Resampling.LANCZOS)
