"""What smaller numbers cost: the linear probe of an artifact's embedding beside that of its model's."""

from __future__ import annotations

from typing import Any

import numpy as np

from tf_spot.config import Config
from tf_spot.data import Source, open_source
from tf_spot.data.images import BadImage
from tf_spot.errors import UserError
from tf_spot.exporters.parity import keras_answers
from tf_spot.exporters.run_artifact import Model
from tf_spot.exporters.signature import Part
from tf_spot.visualization.pictures import to_uint8

MOST = {"train": 2000, "test": 1000}  # photos
_BATCH = 64


def open_labelled(spec: str, config: Config) -> Source:
    """The photos of a probe; opened before any other work is done.

    Args:
        spec: labelled photos with a test split.
        config: how photos become images.

    Raises:
        UserError: no labels, no test split, or photos that can only be read in order.
    """
    source = open_source(spec, config)
    if not source.has_labels or not source.has_test:
        raise UserError(f"--probe wants labelled photos with a test split; received: {spec}; give others as --data")
    source.pools()
    return source


def probe_both(part: Part, artifact: Model, source: Source) -> dict[str, Any]:
    """The probe of `tf-spot evaluate --task linear --layers conv5 --num-values 1`, on some of the photos.

    Both see the same photos, as an application gives them: in whole numbers from 0 to 255.

    Args:
        part: the `features` of the model.
        artifact: the same, reopened; see `reopen`.
        source: photos, of which `MOST` are taken, spread evenly.

    Returns:
        `data` (name), `float32` and `artifact` (test accuracy in percent), `stderr` (of the better one; the difference
        is known better, as the photos are the same), `train_images`, `test_images`.

    Raises:
        UserError: labels that cannot be probed.
    """
    from tf_spot.evaluation import linear_probe

    train, test = ([_embeddings(part, artifact, source, split)] for split in ("train", "test"))

    def layers(both: np.ndarray) -> dict[str, np.ndarray]:
        return {"float32": both[..., 0], "artifact": both[..., 1]}

    found = linear_probe(layers, train, test, num_values=1)
    sizes = {name: found[name] for name in ("stderr", "train_images", "test_images")}
    return {"data": source.name} | found["by_layer"] | sizes


def _embeddings(part: Part, artifact: Model, source: Source, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings (photos, 1, 1, values, 2) of the model and of the artifact, and labels (photos,)."""
    images = source.pools()[split]
    places = np.unique(np.linspace(0, len(images) - 1, MOST[split]).round().astype(int))
    pairs, labels = [], []
    for start in range(0, len(places), _BATCH):
        photos, good = _photos(source, split, places[start : start + _BATCH])
        if good:
            answers = keras_answers(part, photos)["embedding"], artifact(photos.astype(np.float32))["embedding"]
            pairs.append(np.stack(answers, axis=-1)[:, None, None])
            labels.append(np.asarray(images.labels)[good])
    return np.concatenate(pairs), np.concatenate(labels)


def _photos(source: Source, split: str, places: np.ndarray) -> tuple[np.ndarray, list[int]]:
    """The readable photos in these places, uint8 (n, size, size, 3), and where they were."""
    photos, good = [], []
    for place in places.tolist():
        try:
            photos.append(source.photo(split, place))
        except BadImage:
            continue
        good.append(place)
    return to_uint8(photos), good
