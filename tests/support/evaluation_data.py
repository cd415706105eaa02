"""What tests of evaluations share: an untrained run, photos whose class is a colour, STL-10's files made of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tf_spot.config import PAPER, preset
from tf_spot.data.labelled import LabelledPhotos
from tf_spot.data.split import Batch
from tf_spot.models.backbones import AlexNet
from tf_spot.models.from_config import build_autoencoder, build_spotter
from tf_spot.runs.run import Run

SIZE = 16  # pixels
CONFIG = preset("tiny").replace(
    **{"data.image_size": SIZE, "network.width": 0.125, "network.fc_units": 8, "training.batch_size": 4}
)


def untrained_run(path: Path, **changes: Any) -> Run:
    """Make a run whose spotter has learned nothing; `changes` of `CONFIG` by names such as `network__fc_units`."""
    config = CONFIG.replace(**{name.replace("__", "."): value for name, value in changes.items()})
    run = Run.create(path, config, {"spec": "x", "name": "x", "fingerprint": "0", "counts": {}})
    build_spotter(config, build_autoencoder(config)).save(run.model_path("spotter"))
    for stage in ("autoencoder", "spotter"):
        run.add_metrics({"stage": stage, "epoch": 1, "step": 1, "images_seen": 4, "seconds": 1.0})
    return run


def narrow_backbone() -> AlexNet:
    keras.utils.set_random_seed(0)
    return AlexNet(width=0.1, stem_kernel=5, stem_stride=1, trunk_norm="batch", norm_momentum=0.9, norm_epsilon=1e-3)


def lights(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Noise that is bright in red, green or blue: uint8 (count, 24, 24, 3), and which."""
    numbers = np.random.default_rng(seed)
    labels = np.arange(count, dtype=np.int32) % 3
    photos = numbers.integers(0, 120, (count, 24, 24, 3), np.uint8)
    photos[np.arange(count), :, :, labels] += 120
    return photos, labels


def held(count: int = 60, seed: int = 0) -> LabelledPhotos:
    photos, labels = lights(count, seed)
    return LabelledPhotos(list(photos), labels, image_size=SIZE, config=PAPER.data, name="lights")


def write_stl10(root: Path, folds: str) -> Path:
    for split, count in (("train", 60), ("test", 12)):
        photos, labels = lights(count, count)
        np.kron(photos, np.ones((1, 4, 4, 1), np.uint8)).transpose(0, 3, 2, 1).tofile(root / f"{split}_X.bin")
        (labels + 1).astype(np.uint8).tofile(root / f"{split}_y.bin")
    (root / "class_names.txt").write_text("red\ngreen\nblue\n")
    (root / "fold_indices.txt").write_text(folds)
    return root


def ten_folds(size: int = 24) -> str:
    numbers = np.random.default_rng(0)
    return "".join(" ".join(map(str, numbers.permutation(60)[:size])) + "\n" for _ in range(10))


def dataset(images: np.ndarray, labels: np.ndarray, batch_size: int = 64) -> tf.data.Dataset:
    return tf.data.Dataset.from_tensor_slices((images, labels.astype(np.int32))).batch(batch_size)


class Stripes:
    """A source of noisy stripes; the class is how far they lean to red, green or blue."""

    name, spec = "stripes", "made:stripes"
    has_labels, has_test = True, True
    image_size = SIZE

    def count(self, split: str) -> int:
        return {"train": 60, "test": 30}[split]

    def labelled(self, split: str, batch_size: int) -> tf.data.Dataset:
        random = np.random.default_rng(["train", "test"].index(split))
        count = self.count(split)
        labels = np.arange(count, dtype=np.int32) % 3
        images = random.uniform(-1, 1, (count, SIZE, SIZE, 3)).astype(np.float32)
        images[np.arange(count), ::2, :, labels] = 1
        return tf.data.Dataset.from_tensor_slices((images, labels)).batch(batch_size)

    def in_any_order(self, split: str, batch_size: int) -> Iterator[Batch]:
        start = self.count(split)
        for images, labels in reversed(list(self.labelled(split, batch_size).as_numpy_iterator())):
            start -= len(labels)
            yield Batch(images, labels, np.arange(start, start + len(labels)))
