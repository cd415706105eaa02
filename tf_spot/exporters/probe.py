"""What quantisation costs: a linear probe of an artifact's embedding beside that of its model's."""

from __future__ import annotations

from typing import Any

import numpy as np

from tf_spot.config import Config
from tf_spot.data import Source, open_source
from tf_spot.data.images import BadImage
from tf_spot.errors import UserError
from tf_spot.exporters.parity import keras_outputs
from tf_spot.exporters.run_artifact import Artifact
from tf_spot.exporters.signature import Signature
from tf_spot.visualization.pictures import to_uint8

MAX_PHOTOS = {"train": 2000, "test": 1000}
_BATCH_SIZE = 64


def open_labelled(spec: str, config: Config) -> Source:
    """Open the photos of a probe, before any other work is done.

    Args:
        spec: labelled photos with a test split.
        config: how photos become images.

    Raises:
        UserError: no labels, no test split, or photos that can only be read in order.
    """
    source = open_source(spec, config)
    if not source.has_labels or not source.has_test:
        raise UserError(f"--probe needs labelled photos with a test split; received: {spec}; give others as --data")
    source.pools()  # raises if the photos cannot be read in any order
    return source


def probe_both(signature: Signature, artifact: Artifact, source: Source) -> dict[str, Any]:
    """Run `tf-spot evaluate --task linear --layers conv5 --num-values 1` on some photos, for model and artifact.

    Both are given the same photos, as an application gives them: in whole numbers from 0 to 255.

    Args:
        signature: the `features` of the model.
        artifact: the same, opened; see `run_artifact`.
        source: photos, of which `MAX_PHOTOS` are taken, spread evenly.

    Returns:
        `data` (name), `float32` and `artifact` (test accuracy in percent), `stderr` (of the artifact's; the difference
        is known better, as the photos are the same), `train_images`, `test_images`.

    Raises:
        UserError: labels that cannot be probed.
    """
    from tf_spot.evaluation import linear_probe

    train, test = ([_embeddings(signature, artifact, source, split)] for split in ("train", "test"))

    def layers(embeddings: np.ndarray) -> dict[str, np.ndarray]:
        """The probe's backbone: it has two layers, which were computed before."""
        return {"float32": embeddings[..., 0], "artifact": embeddings[..., 1]}  # (photos, 1, 1, channels) each

    result = linear_probe(layers, train, test, num_values=1)
    sizes = {name: result[name] for name in ("stderr", "train_images", "test_images")}
    return {"data": source.name} | result["by_layer"] | sizes


def _embeddings(signature: Signature, artifact: Artifact, source: Source, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Return embeddings (photos, 1, 1, channels, 2) of the model and of the artifact, and labels (photos,)."""
    images = source.pools()[split]
    indices = np.unique(np.linspace(0, len(images) - 1, MAX_PHOTOS[split]).round().astype(int))
    pairs, labels = [], []
    for start in range(0, len(indices), _BATCH_SIZE):
        photos, readable = _photos(source, split, indices[start : start + _BATCH_SIZE])
        if readable:
            both = keras_outputs(signature, photos)["embedding"], artifact(photos.astype(np.float32))["embedding"]
            pairs.append(np.stack(both, axis=-1)[:, None, None])  # (photos, 1, 1, channels, 2)
            labels.append(np.asarray(images.labels)[readable])
    return np.concatenate(pairs), np.concatenate(labels)


def _photos(source: Source, split: str, indices: np.ndarray) -> tuple[np.ndarray, list[int]]:
    """Return the readable photos at these indices, uint8 (photos, size, size, 3), and their indices."""
    photos, readable = [], []
    for index in indices.tolist():
        try:
            photos.append(source.photo(split, index))
        except BadImage:
            continue
        readable.append(index)
    return to_uint8(photos), readable
