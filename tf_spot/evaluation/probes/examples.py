"""Labelled examples for a probe: read as often as needed, checked once, some of the training labels held out."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import tensorflow as tf

from tf_spot.data import Source
from tf_spot.errors import UserError
from tf_spot.models.image_range import check_images
from tf_spot.storage.reserved_array import reserved_array

HELD_OUT_EVERY = 5  # one in five training examples chooses the probe's strength ...
MOST_HELD_OUT = 10_000  # ... and no more than this: they know half a point, and stay in memory
PIXEL_BYTES = 12  # three float32

# Images float32 (batch, height, width, 3) in [-1, 1] and whole labels (batch,). What is iterated again must give the
# same examples in the same order.
LabelledBatches = Iterable[tuple[np.ndarray | tf.Tensor, np.ndarray | tf.Tensor]]


class Examples:
    """Training and test sets with their labels as classes 0, 1, ...

    Args:
        train_ds, test_ds: (images, labels), see `LabelledBatches`.
        seed: draws the held-out examples.

    Attributes:
        seed: as given.
        train_classes, test_classes: int64 (examples,).
        num_classes: of the training labels.
        held_out: bool (training examples,), one in `HELD_OUT_EVERY`.

    Raises:
        UserError: no examples, examples without labels, images that are not float in [-1, 1], one class only, or a
            test label that training never shows.
    """

    def __init__(self, train_ds: LabelledBatches, test_ds: LabelledBatches, seed: int = 0) -> None:
        self.seed = seed
        self._datasets = {"train": train_ds, "test": test_ds}
        self._labels = {split: _read_labels(dataset, split) for split, dataset in self._datasets.items()}
        known, self.train_classes = np.unique(self._labels["train"], return_inverse=True)
        self.num_classes = len(known)
        if self.num_classes < 2:
            raise UserError(f"a probe needs two classes or more; received one: label {known[0]}")
        if len(self.train_classes) < 2 * HELD_OUT_EVERY:
            raise UserError(
                f"a probe needs {2 * HELD_OUT_EVERY} training examples or more; received: {len(self.train_classes)}"
            )
        unknown = np.setdiff1d(self._labels["test"], known)
        if len(unknown):
            raise UserError(
                f"every class of the test set must be in the training set; received test label {unknown[0]}, which has "
                "no training example"
            )
        self.test_classes = np.searchsorted(known, self._labels["test"])
        chosen = np.random.default_rng(seed).permutation(len(self.train_classes))[::HELD_OUT_EVERY][:MOST_HELD_OUT]
        self.held_out = np.isin(np.arange(len(self.train_classes)), chosen)

    @property
    def sizes(self) -> dict[str, int]:
        """How many examples there are, as the keys of a result file."""
        return {"train_images": len(self.train_classes), "test_images": len(self.test_classes)}

    def batches(self, split: str) -> Iterator[tuple[np.ndarray | tf.Tensor, slice]]:
        """Yield the images of `train` or `test`, batch by batch, and which rows of `*_classes` they are.

        Yields:
            float32 (batch, height, width, 3) in [-1, 1], and a slice.

        Raises:
            UserError: the order differs from that of an earlier reading.
        """
        labels, start = self._labels[split], 0
        for images, given in self._datasets[split]:
            rows = slice(start, start + len(given))
            if not np.array_equal(np.asarray(given), labels[rows]):
                break
            yield images, rows
            start = rows.stop
        if start != len(labels):
            raise UserError(
                f"{split}_ds must give the same examples in the same order each time it is read; received another "
                "order; shuffle it with reshuffle_each_iteration=False, or not at all"
            )


class Decoded:
    """Labelled photos, decoded once and then read from a file.

    Iterating gives images float32 (batch, height, width, 3) in [-1, 1] and labels int32 (batch,), every readable photo
    in its order.

    Args:
        source: with labels.
        split: of the source.
        batch_size: images at a time.
        file: a new one for the images; memory holds what is in use.

    Raises:
        NoSpace: the disk lacks space for the file.
    """

    def __init__(self, source: Source, split: str, batch_size: int, file: Path) -> None:
        count, side = source.count(split), source.image_size
        self.batch_size = batch_size
        self.images = reserved_array(file, (count, side, side, 3), f"split {split}, decoded,", "free some space there")
        labels, readable = np.zeros(count, np.int32), np.zeros(count, bool)
        for batch in source.in_any_order(split, batch_size):
            self.images[batch.indices] = batch.images
            labels[batch.indices], readable[batch.indices] = batch.labels, True
        self.rows = np.flatnonzero(readable)
        self.labels = labels[self.rows]

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for start in range(0, len(self.rows), self.batch_size):
            batch = slice(start, start + self.batch_size)
            yield self.images[self.rows[batch]], self.labels[batch]


@contextmanager
def decoded_once(source: Source, batch_size: int) -> Iterator[tuple[LabelledBatches, LabelledBatches]]:
    """Give the labelled photos of `train` and `test`, to be read often.

    While the scope is open they lie decoded in the folder for temporary files, if they take less than half of the free
    space there; else each reading decodes them again.

    Args:
        source: with labels and a test split.
        batch_size: images at a time.

    Yields:
        the training and the test examples: images float32 (batch, height, width, 3) in [-1, 1], labels int32 (batch,).
    """
    splits = ("train", "test")
    needed = PIXEL_BYTES * source.image_size**2 * sum(map(source.count, splits))
    with tempfile.TemporaryDirectory(prefix="tf_spot-images-") as folder:
        if needed < shutil.disk_usage(folder).free / 2:
            train, test = (Decoded(source, split, batch_size, Path(folder) / split) for split in splits)
            yield train, test
        else:
            yield source.labelled("train", batch_size), source.labelled("test", batch_size)


def require_labelled_test(source: Source) -> None:
    """Check that photos have labels and a test split, before anything is trained.

    Raises:
        UserError: they lack either, or none of the test photos can be read.
    """
    if not source.has_labels:
        raise UserError(
            f"a probe needs labelled photos; received {source.spec}, which has none; put the photos in one subfolder "
            "per class, or use a labelled source"
        )
    if not source.has_test:
        raise UserError(
            f"a probe needs a test split; received {source.spec}, which has none; add a folder test or val beside train"
        )
    require_readable(source, "test", source.labelled("test", 1))


def require_readable(source: Source, split: str, batches: tf.data.Dataset) -> None:
    """Check that a photo of a split can be read; as a rule the first photos alone are read.

    Args:
        source: of the photos.
        split: its name, for the message.
        batches: of the split, which leave out photos that cannot be read.

    Raises:
        UserError: not one of the photos can be read.
    """
    if next(iter(batches), None) is None:
        raise UserError(
            f"the split {split} must hold photos that can be read; received: {source.spec}, of whose "
            f"{source.count(split)} {split} photos none can, such as {source.bad_files[-1]}; repair or replace them"
        )


def _read_labels(dataset: LabelledBatches, split: str) -> np.ndarray:
    """Return the labels of a whole dataset, whole numbers (examples,)."""
    if isinstance(dataset, tf.data.Dataset) and dataset.cardinality() == tf.data.INFINITE_CARDINALITY:
        raise UserError(f"{split}_ds must end; received a dataset that repeats for ever; leave out repeat()")
    batches: list[np.ndarray] = []
    for batch in dataset:
        if not isinstance(batch, tuple) or len(batch) != 2:
            raise UserError(f"{split}_ds must give (images, labels); received elements without labels")
        if not batches and batch[0].shape[-1:] == (3,):  # anything else than colours is of any range
            check_images(batch[0], f"images of {split}_ds")
        batches.append(np.asarray(batch[1]))
    if not batches:
        raise UserError(f"{split}_ds must hold examples; received none")
    if batches[0].ndim != 1 or not np.issubdtype(batches[0].dtype, np.integer):
        raise UserError(
            f"labels of {split}_ds must be whole numbers of shape (batch,); received {batches[0].dtype} of shape "
            f"{batches[0].shape}"
        )
    labels = np.concatenate(batches)
    if labels.min() < 0:
        raise UserError(f"labels of {split}_ds must be 0 or more; received {labels.min()}: an example without a label")
    return labels
