"""Data sets of tensorflow-datasets: streams of records, where the other sources read photos in any order."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf

from tf_spot.config import DataConfig
from tf_spot.data.source import Source
from tf_spot.data.split import READERS, SAMPLE, Batch, RandomTransform, Share, Split, Transform, batches_of
from tf_spot.data.tfds_prepare import prepared
from tf_spot.errors import UserError

if TYPE_CHECKING:
    import tensorflow_datasets as tfds

BLOCK = 1024  # records shuffled together, kept encoded; tensorflow-datasets has shuffled the whole set when writing it


class RecordSplit:
    """Consecutive records of a split, in the order in which they are stored.

    Args:
        records: (encoded image, label int64), of known cardinality.
        feature: decodes an image.
        image_size: pixels, both sides of the image that will be cut from the photo.
        has_labels: False: the labels are -1.
    """

    def __init__(
        self, records: tf.data.Dataset, feature: tfds.features.Image, image_size: int, has_labels: bool
    ) -> None:
        self.records, self.feature, self.image_size, self.has_labels = records, feature, image_size, has_labels
        self.bad: dict[str, str] = {}

    def __len__(self) -> int:
        return int(self.records.cardinality())

    def shuffled(self, seed: int, first_step: int, share: Share, transform: RandomTransform) -> tf.data.Dataset:
        """Shuffle every epoch within blocks; a late start in an epoch skips its records without decoding them."""

        def view(encoded: tf.Tensor, stream_index: tf.Tensor) -> tf.Tensor | tuple[tf.Tensor, ...]:
            return transform(self._decode(encoded), stream_index)

        return self._shuffled(self.records.map(lambda image, _: image), seed, first_step, share, view)

    def shuffled_indices(self, seed: int, first_step: int, share: Share, transform: RandomTransform) -> tf.data.Dataset:
        """Shuffle the indices as `shuffled` does the records: the order follows from their number."""
        return self._shuffled(tf.data.Dataset.range(len(self)), seed, first_step, share, transform)

    def _shuffled(
        self, images: tf.data.Dataset, seed: int, first_step: int, share: Share, transform: RandomTransform
    ) -> tf.data.Dataset:
        """Return `transform(image, stream_index)` for ever, of one of `images` each."""
        first = share.start + first_step * share.batch_size  # stream index

        def shuffle(epoch: tf.Tensor, block: tf.Tensor, these: tf.Tensor) -> tf.Tensor:
            key = tf.random.experimental.stateless_fold_in(tf.stack([tf.constant(seed, tf.int64), epoch]), block)
            return tf.random.experimental.stateless_shuffle(these, key)

        def one_epoch(epoch: tf.Tensor) -> tf.data.Dataset:
            return images.batch(BLOCK).enumerate().map(lambda block, part: shuffle(epoch, block, part)).unbatch()

        # Epoch after epoch without an end; `skip` passes undecoded records of the epoch where the stream begins.
        epochs = tf.data.Dataset.counter(start=first // len(self)).flat_map(one_epoch).skip(first % len(self))
        numbered = tf.data.Dataset.zip(tf.data.Dataset.counter(start=first), epochs)
        # Records of the other workers are read all the same, as a stream has no index, but not decoded.
        own = numbered.filter(lambda stream_index, _: share.contains(stream_index))
        return own.map(lambda stream_index, image: transform(image, stream_index), num_parallel_calls=READERS)

    def ordered(self, transform: Transform) -> tf.data.Dataset:
        return self.records.map(
            lambda image, label: (transform(self._decode(image)), tf.cast(label, tf.int32)), num_parallel_calls=READERS
        )

    def in_chunks(
        self, transform: Transform, batch_size: int, chunk_size: int, first: int = 0
    ) -> Iterator[Iterator[Batch]]:
        """Yield the chunks in stored order, in one pass over the records."""
        numbered = self.records.enumerate().skip(first).map(
            lambda index, record: (transform(self._decode(record[0])), tf.cast(record[1], tf.int32), index),
            num_parallel_calls=READERS,
        )  # fmt: skip
        batches = map(Batch._make, batches_of(numbered, batch_size).as_numpy_iterator())
        for _ in range(first, len(self), chunk_size):
            these = islice(batches, chunk_size // batch_size)
            yield these
            deque(these, maxlen=0)  # what the caller did not take: the next chunk begins after it

    def mean_bytes(self) -> float:
        sizes = [int(size) for size, _ in self.ordered(tf.size).take(SAMPLE)]
        return float(np.mean(sizes)) if sizes else 0.0

    def name(self, index: int) -> str:
        return str(index)

    def check(self) -> None:
        """Do nothing: tensorflow-datasets checked the files when it wrote the records."""

    def _decode(self, encoded: tf.Tensor) -> tf.Tensor:
        """Return uint8 RGB (height, width, 3), the shorter side at most twice `image_size`, as `read_image` does."""
        photo = self.feature.decode_example(encoded)
        photo = tf.image.grayscale_to_rgb(photo) if photo.shape[-1] == 1 else photo[..., :3]  # without alpha
        sides = tf.shape(photo)[:2]
        scale = 2 * self.image_size / tf.reduce_min(sides)

        def shrink() -> tf.Tensor:
            smaller = tf.cast(tf.maximum(tf.round(tf.cast(sides, scale.dtype) * scale), 1), tf.int32)
            return tf.cast(tf.round(tf.image.resize(photo, smaller, antialias=True)), tf.uint8)

        return tf.ensure_shape(tf.cond(scale < 1, shrink, lambda: photo), (None, None, 3))


def open_tfds(name: str, *, image_size: int, config: DataConfig, seed: int = 0) -> Source:
    """Open the data set `name`, downloaded on first use.

    Its `unlabelled` split, else `train`, is trained on without labels; `test`, else `validation`, is tested on, but not
    where its labels are withheld (-1). The first photos of the split trained on are held out.

    Raises:
        UserError: no such data set, it cannot be downloaded, or it holds no 8-bit images; see `prepared`.
    """
    builder = prepared(name)
    features = builder.info.features  # has no `get`
    feature, label = (features[key] if key in features else None for key in ("image", "label"))
    if feature is None or feature.np_dtype != np.uint8:
        raise UserError(f"tfds:NAME must have a feature `image` of 8 bits; received: {name} with {list(features)}")
    known = set(builder.info.splits) or {"train", "test"}  # a mocked data set lists no splits
    learnt = next((split for split in ("unlabelled", "unlabeled", "train") if split in known), None)
    if learnt is None or "train" not in known:
        raise UserError(f"tfds:NAME must have a split `train`; received: {name} with {', '.join(sorted(known))}")

    def split_of(records: tf.data.Dataset) -> RecordSplit:
        return RecordSplit(records, feature, image_size, label is not None)

    records = _records(builder, learnt)
    held_out = min(config.held_out_images, int(config.held_out_share * int(records.cardinality())))
    splits: dict[str, Split] = {
        "unlabelled": split_of(records.skip(held_out)),
        "held_out": split_of(records.take(held_out)),
        "train": split_of(_records(builder, "train")),
    }
    tested = [_records(builder, split) for split in ("test", "validation") if split in known]
    # The name has the version, and a version never changes: no record needs to be read. The first split to test on
    # counts even where it is passed over, as in earlier versions, whose runs can then be resumed.
    counts = [(split, len(photos)) for split, photos in splits.items()]
    counts += [("test", int(records.cardinality())) for records in tested[:1]]
    test = next((records for records in tested if label is None or not _withheld(records)), None)
    if test is not None:
        splits["test"] = split_of(test)
    return Source(
        builder.info.name,
        f"tfds:{name}",
        splits,
        image_size=image_size,
        config=config,
        fingerprint=hashlib.sha256(f"{builder.info.full_name} {counts}".encode()).hexdigest(),
        class_names=getattr(label, "names", None),
        seed=seed,
        folders={"train": "train", "test": "test"},
    )


def _records(builder: tfds.core.DatasetBuilder, split: str) -> tf.data.Dataset:
    """Return (encoded image, label int64, -1 where there is none), in stored order and not cached in memory."""
    import tensorflow_datasets as tfds

    records = builder.as_dataset(
        split=split,
        shuffle_files=False,
        decoders={"image": tfds.decode.SkipDecoding()},
        read_config=tfds.ReadConfig(try_autocache=False),
    )
    return records.map(lambda record: (record["image"], record.get("label", tf.constant(-1, tf.int64))))


def _withheld(records: tf.data.Dataset) -> bool:
    """Return whether the first record has no label: those of a competition's test photos have none."""
    labels = records.take(1).map(lambda _, label: label).as_numpy_iterator()
    return any(label < 0 for label in labels)
