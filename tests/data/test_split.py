"""A split: the share of a worker, orders, labels, and photos that cannot be read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tests.data.test_plain_jpeg import SIZE, photo
from tf_spot.data import load
from tf_spot.data.images import BadImage, read_image
from tf_spot.data.split import ImageSplit, Share, whole_batches


class Levels:
    """Photos of one pixel, as grey as their index; some cannot be read."""

    def __init__(self, count: int, unreadable: tuple[int, ...] = (), labelled: bool = True) -> None:
        self.count, self.unreadable = count, unreadable
        self.labels = np.arange(count, dtype=np.int32) * 10 if labelled else None

    def __len__(self) -> int:
        return self.count

    def name(self, index: int) -> str:
        return f"photo {index}"

    def read(self, index: int) -> np.ndarray:
        if index in self.unreadable:
            raise BadImage("damaged")
        return np.full((1, 1, 3), index, np.uint8)


def level(pixels: tf.Tensor) -> tf.Tensor:
    return tf.cast(pixels[0, 0, 0], tf.int64)


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_shares_of_a_batch_are_disjoint_and_complete(workers: int) -> None:
    """Batches of 6: example i of the whole stream is in exactly one share, in its order."""
    size = 6 // workers
    shares = [Share(6, size * i, size) for i in range(workers)]
    indices = [[share.stream_index(i) for i in range(2 * size)] for share in shares]
    assert sorted(sum(indices, [])) == list(range(12))
    for share, own in zip(shares, indices, strict=True):
        assert own == [i for i in range(12) if share.contains(i)]


def test_ordered_skips_what_cannot_be_read_and_keeps_labels() -> None:
    bad: dict[str, str] = {}
    split = ImageSplit(Levels(6, unreadable=(2,)), np.array([5, 2, 1]), bad)
    assert list(split.ordered(level).as_numpy_iterator()) == [(5, 50), (1, 10)]
    assert bad == {"photo 2": "damaged"} and split.name(0) == "photo 5"


def test_without_labels_the_label_is_minus_one() -> None:
    split = ImageSplit(Levels(2, labelled=False), None, {})
    assert not split.has_labels
    assert [int(label) for _, label in split.ordered(level)] == [-1, -1]
    ((batch,),) = split.in_chunks(level, 4, 4)
    assert batch.labels.tolist() == [-1, -1]


def test_shuffled_gives_each_view_the_index_in_the_stream() -> None:
    split = ImageSplit(Levels(4), None, {})
    views = split.shuffled(3, 0, Share(2, 0, 2), lambda pixels, stream_index: (level(pixels), stream_index))
    found = list(views.take(8).as_numpy_iterator())
    assert [number for _, number in found] == list(range(8))
    assert sorted(grey for grey, _ in found[:4]) == sorted(grey for grey, _ in found[4:]) == [0, 1, 2, 3]


def test_chunks_hold_the_readable_photos_of_their_indices() -> None:
    split = ImageSplit(Levels(7, unreadable=(0, 1, 4)), None, {})
    chunks = [[batch.indices.tolist() for batch in batches] for batches in split.in_chunks(level, 2, 4)]
    assert chunks == [[[2, 3]], [[5], [6]]]


@pytest.mark.parametrize(("photos", "rounded"), [(0, 4), (1, 4), (4, 4), (5, 8)])
def test_whole_batches(photos: int, rounded: int) -> None:
    assert whole_batches(photos, 4) == rounded


def test_a_split_has_each_photo_once_however_it_is_read(tmp_path: Path) -> None:
    for number, name in enumerate(("b.jpg", "c.png", "d.jpg", "e.jpg", "f.jpg", "g.png")):
        folder = tmp_path / "train" / "xy"[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        photo(40 + number, 50).save(folder / name, **({"comment": "x"} if name == "e.jpg" else {}))
    for name in "xy":
        (tmp_path / "test" / name).mkdir(parents=True)
        photo().save(tmp_path / "test" / name / "h.jpg")
    damaged = tmp_path / "train" / "x" / "a.jpg"
    damaged.write_bytes((tmp_path / "train" / "x" / "b.jpg").read_bytes()[:-100])
    with pytest.raises(BadImage):
        read_image(damaged, SIZE)
    source = load(f"folder:{tmp_path}", image_size=SIZE)
    batches = list(source.in_any_order("train", 2))
    images, labels, indices = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    assert sorted(indices) == [1, 2, 3, 4, 5, 6] and len(source.bad_files) == 1
    (ordered,) = source.labelled("train", 8)
    np.testing.assert_array_equal(images[np.argsort(indices)], ordered[0])
    np.testing.assert_array_equal(labels[np.argsort(indices)], ordered[1])
