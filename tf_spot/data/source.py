"""A source: its splits, what is held out, and the streams that training and evaluation read."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
import tensorflow as tf

from tf_spot.config import DataConfig
from tf_spot.data.augmentation import augment, center
from tf_spot.data.images import BadImage, Images
from tf_spot.errors import UserError


class Source:
    """Photos to learn from and, when there are labels and a test split, to test on.

    Attributes:
        name: the set's own name.
        spec: as the user gave it.
        class_names: or None.
        fingerprint: changes when the photos do.
        bad_files: "name: reason" of every photo found unreadable so far.
    """

    def __init__(
        self,
        name: str,
        spec: str,
        train: Images,
        test: Images | None,
        *,
        image_size: int,
        config: DataConfig,
        fingerprint: str,
        class_names: list[str] | None = None,
        labelled_train: Images | None = None,
    ) -> None:
        self.name, self.spec, self.class_names, self.fingerprint = name, spec, class_names, fingerprint
        self.image_size, self.config = image_size, config
        self._splits: dict[str, Images] = {"unlabelled": train, "train": labelled_train or train}
        if test is not None:
            self._splits["test"] = test
        self._bad: dict[str, str] = {}
        self._held_out, self._training = _hold_out(train, config)
        self._require_one_readable()

    # --- what there is ----------------------------------------------------------------------------------------------

    @property
    def bad_files(self) -> list[str]:
        return [f"{name}: {reason}" for name, reason in list(self._bad.items())]

    @property
    def has_labels(self) -> bool:
        return self._splits["train"].labels is not None

    @property
    def has_test(self) -> bool:
        return "test" in self._splits

    def count(self, split: str) -> int:
        """Photos in `split`, unreadable ones included; `unlabelled` is what is trained on, held-out photos aside."""
        return len(self._training) if split == "unlabelled" else len(self._split(split))

    def check(self) -> None:
        """Reads every photo once.

        Raises:
            UserError: some cannot be read; names the first.
        """
        for split, images in self._splits.items():
            for index in range(len(images)):
                self._try(images, split, index)
        if self._bad:
            raise UserError(
                f"{len(self._bad)} photos of {self.spec} cannot be read, the first is {self.bad_files[0]}; "
                "mend or remove them, or leave out --strict"
            )

    # --- streams ----------------------------------------------------------------------------------------------------

    def unlabelled(
        self, batch_size: int, *, seed: int = 0, first_step: int = 0, num_steps: int | None = None
    ) -> tf.data.Dataset:
        """The training stream: augmented images, for ever or for `num_steps` batches.

        Batch number s is a function of (seed, s) alone, so a stream opened at `first_step` goes on exactly as one that
        was never closed. Every epoch is a permutation of its own, in constant memory. An unreadable photo is replaced
        by the next one that can be read.

        Returns:
            float32 (batch_size, image_size, image_size, 3) in [-1, 1].

        Raises:
            UserError: fewer photos than one batch.
        """
        count = len(self._training)
        if count < batch_size:
            raise UserError(
                f"training needs at least one batch of photos; batch size {batch_size}; received {count} photos from "
                f"{self.spec}; lower training.batch_size"
            )
        first = first_step * batch_size
        last = np.iinfo(np.int64).max if num_steps is None else first + num_steps * batch_size
        positions = tf.data.Dataset.range(first, last)
        return (
            positions.map(lambda i: self._training_image(i, seed, count), num_parallel_calls=tf.data.AUTOTUNE)
            .batch(batch_size, drop_remainder=True)
            .prefetch(tf.data.AUTOTUNE)
        )

    def labelled(self, split: str, batch_size: int) -> tf.data.Dataset:
        """Every readable photo of `split` once, in order, centred: (images, labels int32); the last batch may be smaller.

        Raises:
            UserError: no such split, or no labels.
        """
        images = self._split(split)
        if images.labels is None:
            raise UserError(
                f"{self.spec} has no labels; a probe needs one subfolder a class, or a labelled source; received photos "
                "without classes"
            )
        return self._centered(images, split, np.arange(len(images)), batch_size)

    def images(self, split: str, batch_size: int) -> tf.data.Dataset:
        """Every readable photo of `split` once, in order, centred, without labels."""
        images = self._split(split)
        return self._centered(images, split, np.arange(len(images)), batch_size).map(lambda image, _: image)

    def held_out(self, batch_size: int) -> tf.data.Dataset:
        """The photos kept from training, centred, for health signals: images only."""
        return self.held_out_labelled(batch_size).map(lambda image, _: image)

    def held_out_labelled(self, batch_size: int) -> tf.data.Dataset:
        """The photos kept from training with their labels, -1 where there are none."""
        return self._centered(self._splits["unlabelled"], "unlabelled", self._held_out, batch_size)

    # --- parts ------------------------------------------------------------------------------------------------------

    def _training_image(self, position: Any, seed: int, count: int) -> tf.Tensor:
        epoch, place = position // count, position % count
        key = tf.cast(tf.stack([tf.constant(seed, tf.int64), epoch]), tf.uint32)
        shuffled = tf.random.experimental.index_shuffle(place, seed=key, max_index=count - 1)
        photo = tf.numpy_function(self._read_training, [shuffled], tf.uint8, stateful=False)
        photo = tf.ensure_shape(photo, (None, None, 3))
        key = tf.random.experimental.stateless_fold_in(tf.constant((seed, 5), tf.int64), position)
        key = tf.cast(key & 0x7FFFFFFE, tf.int32)
        return augment(photo, key, self.image_size, self.config)

    def _read_training(self, place: int) -> np.ndarray:
        for offset in range(len(self._training)):
            index = self._training[(int(place) + offset) % len(self._training)]
            photo = self._try(self._splits["unlabelled"], "unlabelled", int(index))
            if photo is not None:
                return photo
        raise UserError(f"no photo of {self.spec} can be read any more")

    def _centered(self, images: Images, split: str, indices: np.ndarray, batch_size: int) -> tf.data.Dataset:
        labels = np.full(len(images), -1, np.int32) if images.labels is None else images.labels.astype(np.int32)

        def read(index: int) -> tuple[np.ndarray, np.bool_]:
            photo = self._try(images, split, int(index))
            return (np.zeros((1, 1, 3), np.uint8), np.False_) if photo is None else (photo, np.True_)

        def load(index: Any) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            photo, good = tf.numpy_function(read, [index], (tf.uint8, tf.bool), stateful=False)
            image = center(tf.ensure_shape(photo, (None, None, 3)), self.image_size, self.config)
            return image, tf.gather(labels, index), tf.ensure_shape(good, ())

        return (
            tf.data.Dataset.from_tensor_slices(indices.astype(np.int64))
            .map(load, num_parallel_calls=tf.data.AUTOTUNE)
            .filter(lambda image, label, good: good)
            .map(lambda image, label, good: (image, label))
            .batch(batch_size)
            .prefetch(tf.data.AUTOTUNE)
        )

    def _try(self, images: Images, split: str, index: int) -> np.ndarray | None:
        try:
            return images.read(index)
        except BadImage as error:
            self._bad.setdefault(images.name(index), str(error))
            return None

    def _split(self, split: str) -> Images:
        if split == "unlabelled" or split not in self._splits:
            have = ", ".join(name for name in self._splits if name != "unlabelled")
            raise UserError(f"{self.spec} has no split {split!r}; it has: {have}")
        return self._splits[split]

    def _require_one_readable(self) -> None:
        images = self._splits["unlabelled"]
        if not any(self._try(images, "unlabelled", index) is not None for index in range(len(images))):
            found = f"{len(images)} files, the first is {self.bad_files[0]}" if self._bad else "none"
            raise UserError(f"{self.spec} holds no photo that can be read; received: {found}")


def _hold_out(images: Images, config: DataConfig) -> tuple[np.ndarray, np.ndarray]:
    """Indices (held out, trained on). Which are held out depends on their names only, so it stays when photos are added."""
    count = min(config.held_out_images, int(config.held_out_share * len(images)))
    hashes = np.fromiter((zlib.crc32(images.name(i).encode()) for i in range(len(images))), np.uint32, len(images))
    order = np.argsort(hashes, kind="stable")
    return np.sort(order[:count]), np.sort(order[count:])
