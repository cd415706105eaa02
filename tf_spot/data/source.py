"""A source: its splits, and the streams that training and evaluation read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

import numpy as np
import tensorflow as tf

from tf_spot.config import DataConfig
from tf_spot.data.augmentation import center, crop, recolour
from tf_spot.data.images import Images
from tf_spot.data.split import Batch, ImageSplit, Rows, Split, hold_out, whole_batches
from tf_spot.errors import UserError

PREFETCH = 2  # batches ready ahead of training


class Source:
    """Photos to learn from and, when there are labels and a test split, to test on.

    Args:
        name: the set's own name.
        spec: as the user gave it.
        splits: `unlabelled` (trained on), `held_out` (kept from training, for health signals), `train` and, where there
            is one, `test`.
        image_size: pixels, both sides of every image given out.
        config: how training images are varied.
        fingerprint: changes when the photos do.
        class_names: or None.
        read_folds: gives the training folds, where the source has them.
        pools: every photo once, as sequences: `train`, `test` where there is one, and `unlabelled` where other photos
            are trained on than those of `train`. None: the photos can only be read in order.
        seed: of the training stream, unless `unlabelled` is given another.
    """

    def __init__(
        self,
        name: str,
        spec: str,
        splits: dict[str, Split],
        *,
        image_size: int,
        config: DataConfig,
        fingerprint: str,
        class_names: list[str] | None = None,
        read_folds: Callable[[], list[np.ndarray]] | None = None,
        pools: dict[str, Images] | None = None,
        seed: int = 0,
    ) -> None:
        self.name, self.spec, self.class_names, self.fingerprint = name, spec, class_names, fingerprint
        self.image_size, self.config, self.seed = image_size, config, seed
        self._splits, self._read_folds, self._pools = splits, read_folds, pools

    @classmethod
    def from_images(
        cls,
        name: str,
        spec: str,
        train: Images,
        test: Images | None,
        *,
        config: DataConfig,
        unlabelled: Images | None = None,
        **kwargs: Any,
    ) -> Source:
        """A source of photos that can be read in any order; `unlabelled`, else `train`, is what is trained on.

        Raises:
            UserError: not one of the photos to train on can be read.
        """
        bad: dict[str, str] = {}
        learnt = train if unlabelled is None else unlabelled
        held_out, training = hold_out(learnt, config)
        trained_on = ImageSplit(learnt, training, bad)
        splits: dict[str, Split] = {
            "unlabelled": trained_on,
            "held_out": ImageSplit(learnt, held_out, bad),
            "train": ImageSplit(train, None, bad),
        }
        if test is not None:
            splits["test"] = ImageSplit(test, None, bad)
        if all(photo is None for photo in map(trained_on.read, range(len(training)))):
            example = next((f"; {file}: {reason}" for file, reason in bad.items()), "")
            raise UserError(f"{spec} must hold photos that can be read; received {len(bad)} that cannot{example}")
        pools = {"train": train, "test": test, "unlabelled": unlabelled}
        there = {pool: images for pool, images in pools.items() if images is not None}
        return cls(name, spec, splits, config=config, pools=there, **kwargs)

    # --- what there is ----------------------------------------------------------------------------------------------

    @property
    def bad_files(self) -> list[str]:
        """ "name: reason" of every photo found unreadable so far."""
        return [f"{name}: {reason}" for name, reason in list(self._splits["train"].bad.items())]

    @property
    def has_labels(self) -> bool:
        return self._splits["train"].has_labels

    @property
    def has_test(self) -> bool:
        return "test" in self._splits

    def count(self, split: str) -> int:
        """Photos in `train`, `test`, `unlabelled` (what is trained on) or `held_out`, unreadable ones included."""
        return len(self._split(split))

    def folds(self) -> list[np.ndarray]:
        """The source's own training folds: int64 indices into `train`, zero-based.

        Raises:
            UserError: it has none, or they do not fit its photos.
        """
        if self._read_folds is None:
            raise UserError(f"only stl10:PATH has folds; received: {self.spec}")
        return self._read_folds()

    def pools(self) -> dict[str, Images]:
        """Every photo once, by split; `unlabelled` only where it is not `train`.

        Raises:
            UserError: the photos cannot be read in any order.
        """
        if self._pools is None:
            raise UserError(
                f"this needs photos that can be read in any order, as those of folder:PATH; received: {self.spec}, "
                "which tensorflow-datasets keeps in shards of its own"
            )
        return self._pools

    def check(self) -> None:
        """Reads every photo once.

        Raises:
            UserError: some cannot be read; tells how many, and the first.
        """
        for split in self._splits.values():
            split.check()
        if self.bad_files:
            raise UserError(
                f"with --strict every photo of {self.spec} must be readable; {len(self.bad_files)} cannot be read, the "
                f"first is {self.bad_files[0]}; mend or remove them, or leave out --strict"
            )

    # --- streams ----------------------------------------------------------------------------------------------------

    def unlabelled(
        self,
        batch_size: int,
        *,
        seed: int | None = None,
        first_step: int = 0,
        num_steps: int | None = None,
        share: tuple[int, int] = (0, 1),
    ) -> tf.data.Dataset:
        """The training stream: augmented images, for ever or for `num_steps` batches; held-out photos never appear.

        Batch number s is a function of (seed, s) alone, so a stream opened at `first_step` goes on exactly as one that
        was never closed.

        Args:
            batch_size: images of a whole batch.
            seed: of the order and of how images are varied; None: that of the source.
            first_step: batches that are passed over.
            num_steps: batches given out; None: for ever.
            share: (i, n): of every batch only the i-th of n equal parts, and no other photo is read.

        Returns:
            float32 (batch_size / n, image_size, image_size, 3) in [-1, 1].

        Raises:
            UserError: fewer photos than one batch.
        """
        count = self.count("unlabelled")
        if count < batch_size:
            raise UserError(
                f"training needs at least one batch of photos; batch size {batch_size}; received {count} photos from "
                f"{self.spec}; lower training.batch_size"
            )
        key = self.seed if seed is None else seed
        index, parts = share
        rows = Rows(batch_size, batch_size // parts * index, batch_size // parts)

        def cut(photo: Any, position: Any) -> tuple[tf.Tensor, tf.Tensor]:
            return crop(photo, tf.stack([tf.constant(key, tf.int64), position]), self.image_size, self.config)

        batches = (
            self._splits["unlabelled"]
            .shuffled(key, first_step, rows, cut)
            .batch(rows.size, drop_remainder=True)
            .map(lambda images, draws: recolour(images, draws, self.config))
        )
        return (batches if num_steps is None else batches.take(num_steps)).prefetch(PREFETCH)

    def labelled(self, split: str, batch_size: int) -> tf.data.Dataset:
        """Each readable photo of `split` once, in order, centred: (images, labels int32); the last batch may be less.

        Raises:
            UserError: no such split, or no labels.
        """
        photos = self._split(split)
        if not photos.has_labels:
            raise UserError(
                f"a probe needs labelled photos, such as a folder with one subfolder a class; received: {self.spec}, "
                "which has no labels"
            )
        return self._centred(photos, batch_size)

    def images(self, split: str, batch_size: int) -> tf.data.Dataset:
        """Every readable photo of `split` once, in order, centred, without labels."""
        return self._centred(self._split(split), batch_size).map(lambda images, _: images)

    def in_any_order(self, split: str, batch_size: int) -> Iterator[Batch]:
        """Every readable photo of `split` once, centred, in whatever order is quick.

        The images are the same, bit for bit, as in the other streams; only the last batches may be less.
        """
        return chain.from_iterable(self.in_chunks(split, batch_size, whole_batches(self.count(split), batch_size)))

    def in_chunks(self, split: str, batch_size: int, chunk: int, *, first: int = 0) -> Iterator[Iterator[Batch]]:
        """The batches of every `chunk` places of `split` from place `first` on, each `in_any_order`.

        Whatever the place they begin at, the batches of a chunk are the same.

        Args:
            split: of this source.
            batch_size: photos of a batch, at most.
            chunk: places, a whole number of batches.
            first: place, a whole number of chunks.
        """
        photos = self._split(split)
        return photos.in_chunks(lambda photo: center(photo, self.image_size, self.config), batch_size, chunk, first)

    def photo_name(self, split: str, place: int) -> str:
        """What the photo in that place of `split` is called: its path within the source, where it is a file."""
        return self._split(split).name(place)

    def photo(self, split: str, place: int) -> np.ndarray:
        """The photo in that place of `split`, centred: float32 (image_size, image_size, 3) in [-1, 1].

        Raises:
            UserError: photos of this source cannot be read in any order.
        """
        photo = self.pools()[split].read(place)
        image: np.ndarray = center(photo, self.image_size, self.config).numpy()
        return image

    def held_out(self, batch_size: int) -> tf.data.Dataset:
        """The photos kept from training, centred: images only; empty when there are too few photos to keep any."""
        return self.images("held_out", batch_size)

    def held_out_labelled(self, batch_size: int) -> tf.data.Dataset:
        """The photos kept from training with their labels, -1 where there are none."""
        return self._centred(self._split("held_out"), batch_size)

    def _centred(self, photos: Split, batch_size: int) -> tf.data.Dataset:
        images = photos.ordered(lambda photo: center(photo, self.image_size, self.config))
        return images.batch(batch_size).prefetch(PREFETCH)

    def _split(self, split: str) -> Split:
        if split not in self._splits:
            raise UserError(f"{self.spec} has no split {split!r}; allowed: {', '.join(self._splits)}")
        return self._splits[split]
