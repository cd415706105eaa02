"""A source: its splits, and the streams that training and evaluation read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from typing import TypedDict

import numpy as np
import tensorflow as tf

from tf_spot.config import DataConfig
from tf_spot.data.augmentation import center
from tf_spot.data.hold_out import image_splits
from tf_spot.data.images import Images
from tf_spot.data.random_views import PREFETCH, RandomViews
from tf_spot.data.split import Batch, Split, whole_batches, whole_share
from tf_spot.errors import UserError
from tf_spot.storage.names import printable


class DataRecord(TypedDict):
    """The photos of a run, as RUN/data.json has them."""

    spec: str
    name: str
    fingerprint: str
    counts: dict[str, int]  # photos by split


class Source:
    """Photos to learn from and, when there are labels and a test split, to test on.

    A split is named `train`, `test`, `unlabelled` (what is trained on without labels) or `held_out` (kept from that
    training, for health signals). `unlabelled` and `held_out` are disjoint. `index` is a photo's index in its split.
    Images are float32 in [-1, 1].

    Args:
        name: the data set's own name, as result files have it.
        spec: as the user gave it, such as `folder:photos`.
        splits: `unlabelled`, `held_out`, `train` and, where there is one, `test`.
        image_size: pixels, both sides of every image.
        config: how photos become images.
        fingerprint: hexadecimal; changes when the photos do, and not with the path where they lie.
        class_names: by label; None without labels.
        read_folds: reads the training folds, where the source has them.
        pools: every photo once, as sequences: `train`, `test` where there is one, and `unlabelled` where other photos
            are trained on than those of `train`. None: the photos can only be read in order.
        seed: of the training stream, unless `unlabelled` is given another.
        folders: where the photos of a split lie within the source, by split, if photos of two splits may share a name.

    Attributes:
        name, spec, image_size, config, fingerprint, class_names, seed: as given.
        views: of the photos of `unlabelled`; a cache that it is given serves every stream of them.
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
        folders: Mapping[str, str] | None = None,
    ) -> None:
        self.name, self.spec, self.class_names, self.fingerprint = name, spec, class_names, fingerprint
        self.image_size, self.config, self.seed = image_size, config, seed
        # Private: what other rooms need of a split has a method here, so that they do not depend on its kind.
        self._splits, self._read_folds, self._pools, self._folders = splits, read_folds, pools, dict(folders or {})
        self.views = RandomViews(splits["unlabelled"], image_size, config)

    @classmethod
    def from_images(
        cls,
        name: str,
        spec: str,
        train: Images,
        test: Images | None,
        *,
        image_size: int,
        config: DataConfig,
        fingerprint: str,
        unlabelled: Images | None = None,
        class_names: list[str] | None = None,
        read_folds: Callable[[], list[np.ndarray]] | None = None,
        seed: int = 0,
        folders: Mapping[str, str] | None = None,
    ) -> Source:
        """Make a source of photos that can be read in any order.

        Args:
            train, test, unlabelled: see `image_splits`.
            name, spec, image_size, config, fingerprint, class_names, read_folds, seed, folders: see the class.

        Raises:
            UserError: not one of the photos to train on can be read.
        """
        pools = {"train": train, "test": test, "unlabelled": unlabelled}
        return cls(
            name,
            spec,
            image_splits(spec, train, test, unlabelled, config),
            image_size=image_size,
            config=config,
            fingerprint=fingerprint,
            class_names=class_names,
            read_folds=read_folds,
            pools={pool: images for pool, images in pools.items() if images is not None},
            seed=seed,
            folders=folders,
        )

    # --- what there is ----------------------------------------------------------------------------------------------

    @property
    def bad_files(self) -> list[str]:
        """ "path within the source: reason" of every photo found unreadable so far, each printable as one line.

        In the order of splits and names: that in which photos are found varies with the threads that decode them.
        """
        lines = []
        for split in self.counts():
            # A copy of the items first: threads of `tf.data` may add to them meanwhile.
            found = sorted(list(self._splits[split].bad.items()))
            lines += [printable(f"{self._path(split, name)}: {reason}") for name, reason in found]
        return lines

    @property
    def has_labels(self) -> bool:
        """True if the photos of `train` have labels."""
        return self._splits["train"].has_labels

    @property
    def has_test(self) -> bool:
        """True if there is a split `test`."""
        return "test" in self._splits

    def count(self, split: str) -> int:
        """Return the number of photos of a split, unreadable ones included.

        Raises:
            UserError: no such split.
        """
        return len(self._split(split))

    def counts(self) -> dict[str, int]:
        """Return the number of photos of `train` and, where there is one, of `test`, by split."""
        return {split: self.count(split) for split in (("train", "test") if self.has_test else ("train",))}

    def record(self) -> DataRecord:
        """Return what a run folder records of the photos."""
        return {"spec": self.spec, "name": self.name, "fingerprint": self.fingerprint, "counts": self.counts()}

    def folds(self) -> list[np.ndarray]:
        """Return the source's own training folds: int64 (photos of the fold,) each, zero-based indices in `train`.

        Raises:
            UserError: it has none, or they do not fit its photos.
        """
        if self._read_folds is None:
            raise UserError(f"only stl10:PATH has folds; received: {self.spec}")
        return self._read_folds()

    def pools(self) -> dict[str, Images]:
        """Return every photo once, by split; `unlabelled` only where its photos are not those of `train`.

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
        """Read every photo once.

        Raises:
            UserError: some cannot be read; the message has their number and the first of them.
        """
        for split in self._splits.values():
            split.check()
        if self.bad_files:
            raise UserError(
                f"with --strict every photo of {self.spec} must be readable; {len(self.bad_files)} cannot be read, the "
                f"first is {self.bad_files[0]}; repair or remove them, or leave out --strict"
            )

    def check_batch(self, batch_size: int) -> None:
        """Raise a `UserError` if there are fewer photos to train on than one batch."""
        count = self.count("unlabelled")
        if count < batch_size:
            raise UserError(
                f"training needs at least one batch of photos; batch size {batch_size}; received {count} photos from "
                f"{self.spec}; lower training.batch_size"
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
        images_before: int | None = None,
    ) -> tf.data.Dataset:
        """Return the training stream: random views of the photos of `unlabelled`; held-out photos never appear.

        Batch number s is a function of (seed, s) alone, so a stream opened at `first_step` goes on exactly as one that
        was never closed.

        Args:
            batch_size: images of a whole batch.
            seed: of the order and of how images are varied; None: that of the source.
            first_step: batches that are skipped.
            num_steps: length of the stream in batches; None: endless.
            share: (i, n): the i-th of n equal parts of every batch; no other photo is read.
            images_before: images of the skipped batches, where these had another size; None: they had this one.

        Returns:
            float32 (batch_size / n, image_size, image_size, 3) in [-1, 1].

        Raises:
            UserError: fewer photos than one batch.
        """
        self.check_batch(batch_size)
        number, parts = share
        # Consecutive examples: the parts of all workers, one after the other, are the whole batch.
        whole = whole_share(batch_size, first_step, images_before)
        own = whole._replace(first=batch_size // parts * number, size=batch_size // parts)
        batches = self.views.images(self.seed if seed is None else seed, first_step, own)
        return batches if num_steps is None else batches.take(num_steps)

    def unlabelled_indices(self, batch_size: int, *, seed: int | None = None, first_step: int = 0) -> tf.data.Dataset:
        """Return for ever which photo each image of `unlabelled` is made of; no photo is read.

        A photo that cannot be read is an index as any other; its image is made of the next one that can.

        Args:
            batch_size, seed, first_step: see `unlabelled`.

        Returns:
            int32 (batch_size,), indices in the split.

        Raises:
            UserError: fewer photos than one batch.
        """
        self.check_batch(batch_size)
        indices = self._split("unlabelled").shuffled_indices(
            self.seed if seed is None else seed,
            first_step,
            whole_share(batch_size, first_step, None),
            lambda index, stream_index: tf.cast(index, tf.int32),
        )
        return indices.batch(batch_size, drop_remainder=True).prefetch(PREFETCH)

    def labelled(self, split: str, batch_size: int) -> tf.data.Dataset:
        """Return each readable photo of a split once, in order, centred, with its label.

        Returns:
            images float32 (batch, image_size, image_size, 3) in [-1, 1] and labels int32 (batch,); the last batch may
            be smaller.

        Raises:
            UserError: no such split, or no labels.
        """
        photos = self._split(split)
        if not photos.has_labels:
            raise UserError(
                f"a probe needs labelled photos, such as a folder with one subfolder per class; received: {self.spec}, "
                "which has no labels"
            )
        return self._centred(photos, batch_size)

    def images(self, split: str, batch_size: int) -> tf.data.Dataset:
        """Return each readable photo of a split once, in order, centred, without labels.

        Returns:
            float32 (batch, image_size, image_size, 3) in [-1, 1]; the last batch may be smaller.

        Raises:
            UserError: no such split.
        """
        return self._centred(self._split(split), batch_size).map(lambda images, _: images)

    def decoded(self, split: str) -> tf.data.Dataset:
        """Return each readable photo of a split once, in order, as it was decoded: neither cropped nor batched.

        Returns:
            uint8 RGB (height, width, 3), the shorter side at most twice `image_size`, and its label, int32 scalar, -1
            where there is none.

        Raises:
            UserError: no such split.
        """
        return self._split(split).ordered(lambda photo: photo)

    def in_any_order(self, split: str, batch_size: int) -> Iterator[Batch]:
        """Yield every readable photo of a split once, centred, in whatever order is fastest.

        The images are bit for bit those of the other streams; only the last batches may be smaller.
        """
        return chain.from_iterable(self.in_chunks(split, batch_size, whole_batches(self.count(split), batch_size)))

    def in_chunks(self, split: str, batch_size: int, chunk_size: int, *, first: int = 0) -> Iterator[Iterator[Batch]]:
        """Yield the batches of every `chunk_size` photos of a split from index `first` on, each `in_any_order`.

        The batches of a chunk are the same wherever the iteration began.

        Args:
            split: of this source.
            batch_size: photos of a batch, at most.
            chunk_size: photos, a whole number of batches.
            first: index of a photo, a whole number of chunks.
        """
        photos = self._split(split)

        def image(photo: tf.Tensor) -> tf.Tensor:
            return center(photo, self.image_size, self.config)

        return photos.in_chunks(image, batch_size, chunk_size, first)

    def photo_name(self, split: str, index: int) -> str:
        """Return a photo's name: its path within the split, where it is a file."""
        return self._split(split).name(index)

    def photo_path(self, split: str, index: int) -> str:
        """Return a photo's path within the source, which no photo of another split has."""
        return self._path(split, self.photo_name(split, index))

    def _path(self, split: str, name: str) -> str:
        return f"{self._folders[split]}/{name}" if split in self._folders else name

    def photo(self, split: str, index: int) -> np.ndarray:
        """Return one photo of `train` or `test`, centred: float32 (image_size, image_size, 3) in [-1, 1].

        Raises:
            UserError: photos of this source cannot be read in any order.
            BadImage: this one cannot be read.
        """
        photo = self.pools()[split].read(index)
        image: np.ndarray = center(photo, self.image_size, self.config).numpy()
        return image

    def held_out(self, batch_size: int) -> tf.data.Dataset:
        """Return the photos of `held_out`, like `images`; empty when there are too few photos to keep any."""
        return self.images("held_out", batch_size)

    def held_out_labelled(self, batch_size: int) -> tf.data.Dataset:
        """Return the photos of `held_out` with labels, like `labelled`; a label is -1 where there is none."""
        return self._centred(self._split("held_out"), batch_size)

    def _centred(self, photos: Split, batch_size: int) -> tf.data.Dataset:
        """Return (images, labels), see `labelled`."""
        images = photos.ordered(lambda photo: center(photo, self.image_size, self.config))
        return images.batch(batch_size).prefetch(PREFETCH)

    def _split(self, split: str) -> Split:
        if split not in self._splits:
            raise UserError(f"{self.spec} has no split {split!r}; allowed: {', '.join(self._splits)}")
        return self._splits[split]
