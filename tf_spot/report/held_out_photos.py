"""Held-out photos of a run and their vectors, for the parts of the page that show photos."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from PIL import Image

from tf_spot.data import Source, load
from tf_spot.errors import UserError
from tf_spot.evaluation.beside_controls import rival_extractors
from tf_spot.features.pixels import pixel_features
from tf_spot.features.pooling import Pooling, averaged
from tf_spot.runs.run import Run
from tf_spot.visualization.pictures import to_uint8

PHOTOS = 512  # at most
BATCH = 64


class Photos(NamedTuple):
    """Some photos and their vectors."""

    pictures: np.ndarray  # uint8 (photos, image_size, image_size, 3)
    labels: np.ndarray | None  # int32 (photos,)
    class_names: list[str]  # empty when the source has no names
    directions: dict[str, np.ndarray]  # learned, random, raw pixels: float32 (photos, dim), of length 1
    says: str  # where they come from


def held_out_photos(run: Run, spotter: Any) -> Photos | str:
    """Photos that were kept from the training of `run`, by the spec in its record; where that fails, why."""
    config = run.config.data
    try:
        source = load(run.data["spec"], image_size=config.image_size, config=config)
    except UserError as error:
        return f"The photos of this run are not to be found from here: {error}"
    images, labels = _some(source)
    if not len(images):
        return "The photos of this run cannot be read any more."
    labelled = labels.min() >= 0
    pictures = to_uint8(images)
    says = f"{len(images):,} photos, {'held out of' if source.count('held_out') else 'of'} the training"
    if source.fingerprint != run.data["fingerprint"]:
        says += "; they are not all the same as when it was trained"
    names = list(source.class_names or []) if labelled else []
    return Photos(pictures, labels if labelled else None, names, _directions(spotter, images), says)


def _some(source: Source) -> tuple[np.ndarray, np.ndarray]:
    """At most `PHOTOS` of those held out, evenly over the classes; of all where none is held out."""
    count = source.count("held_out")
    if count:
        stream = source.held_out_labelled(BATCH)
    else:
        count = source.count("train")
        stream = source.images("train", BATCH).map(lambda images: (images, tf.fill(tf.shape(images)[:1], -1)))
    chosen = stream.unbatch().shard(max(1, -(-count // PHOTOS)), 0)
    found = list(chosen.as_numpy_iterator())
    return np.array([image for image, _ in found]), np.array([label for _, label in found])


def _directions(spotter: Any, images: np.ndarray) -> dict[str, np.ndarray]:
    random = rival_extractors(spotter.backbone, spotter.autoencoder, Pooling(), 0)["random"]
    features = {"learned": averaged(spotter.backbone), "random": averaged(random), "raw pixels": pixel_features}
    batches = [images[first : first + BATCH] for first in range(0, len(images), BATCH)]
    vectors = {name: np.concatenate([feature(batch) for batch in batches]) for name, feature in features.items()}
    return {name: found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)
            for name, found in vectors.items()}  # fmt: skip


def thumbnail(picture: np.ndarray, side: int) -> Image.Image:
    """uint8 (size, size, 3) at another size."""
    return Image.fromarray(picture).resize((side, side), Image.Resampling.LANCZOS)
