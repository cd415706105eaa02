"""Photos decoded once: which, where they lie, and what is refused."""

from __future__ import annotations

import gc
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tests.data.test_split import Levels
from tf_spot.data import load, photo_cache
from tf_spot.data.images import BadImage
from tf_spot.data.photo_cache import DoesNotFit, decode_all, filled_up
from tf_spot.data.split import ImageSplit
from tf_spot.errors import UserError

ROOM = 1 << 20


def levels(cache: photo_cache.PhotoCache, count: int) -> list[int]:
    return [int(cache.photo(tf.constant(index, tf.int64))[0, 0, 0]) for index in range(count)]


def test_photos_of_every_size_and_kind_are_kept_as_they_are_decoded(tmp_path: Path) -> None:
    numbers = np.random.default_rng(0)
    for number in range(20):
        shape = (int(numbers.integers(1, 40)), int(numbers.integers(1, 40)), 3)
        kind = "jpg" if number % 2 else "png"  # the one is decoded by TensorFlow, the other by Pillow
        Image.fromarray(numbers.integers(0, 256, shape, np.uint8)).save(tmp_path / f"{number:02}.{kind}")
    split = load(f"folder:{tmp_path}", image_size=32).views.split
    cache = decode_all(split, "host", ROOM)
    for index in range(len(split)):
        photo = split.read(index)
        kept = cache.photo(tf.constant(index, tf.int64))
        assert cache.shapes[index].numpy().tolist() == list(photo.shape)
        assert kept.shape == tuple(filled_up(np.array(photo.shape)))
        np.testing.assert_array_equal(kept[: photo.shape[0], : photo.shape[1]], photo)
        assert cache.offsets[index] % 64 == 0, "else TensorFlow copies it"


def test_a_photo_that_cannot_be_read_is_the_next_one_that_can() -> None:
    bad: dict[str, str] = {}
    cache = decode_all(ImageSplit(Levels(6, unreadable=(1, 2, 5)), None, bad), "host", ROOM)
    assert levels(cache, 6) == [0, 3, 3, 3, 4, 0]
    assert sorted(bad) == ["photo 1", "photo 2", "photo 5"]


def test_no_readable_photo_at_all_is_an_error() -> None:
    with pytest.raises(UserError, match="none of the photos can be read any more"):
        decode_all(ImageSplit(Levels(3, unreadable=(0, 1, 2)), None, {}), "host", ROOM)


def test_photos_that_do_not_fit_are_refused_before_or_while_they_are_read() -> None:
    class Counted(Levels):
        reads = 0

        def read(self, index: int) -> np.ndarray:
            self.reads += 1
            return super().read(index)

    photos = Counted(5)
    with pytest.raises(DoesNotFit, match="about 4 MiB .* memory of the host may hold 1 MiB"):
        decode_all(ImageSplit(photos, None, {}), "host", ROOM, estimate=4 * ROOM)
    assert photos.reads == 0
    with pytest.raises(DoesNotFit, match="more than 0 MiB"):
        decode_all(ImageSplit(photos, None, {}), "host", 4 * 8 * 8 * 3)
    assert decode_all(ImageSplit(photos, None, {}), "host", 5 * 8 * 8 * 3).pixels.shape == (5 * 8 * 8 * 3,)


def test_progress_is_told_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[int, int, str]] = []
    decode_all(ImageSplit(Levels(40), None, {}), "host", ROOM, on_progress=lambda *words: told.append(words))
    assert told == [], "nothing within the first seconds"
    monkeypatch.setattr(photo_cache, "SECONDS_BETWEEN_REPORTS", 0.0)
    decode_all(ImageSplit(Levels(40), None, {}), "host", ROOM, on_progress=lambda *words: told.append(words))
    assert [words[:2] for words in told] == [(16, 40), (32, 40), (40, 40)]
    assert {words[2].split()[0] for words in told} == {"photos"}


def test_the_memory_is_that_of_the_photos_and_of_one_copy() -> None:
    """`tf.data` makes that one, of up to 2 GB; another one, or a cache that is not freed, would be 200 MB more."""

    class Large(Levels):
        def read(self, index: int) -> np.ndarray:
            return np.full((512, 512, 3), index, np.uint8)

    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

    split = ImageSplit(Large(256), None, {})
    list(split.ordered(lambda photo: photo[0, 0, 0]).as_numpy_iterator())  # what decoding needs for itself
    before = resident()

    def read_through(cache: photo_cache.PhotoCache) -> int:
        stream = tf.data.Dataset.range(256).map(lambda index: cache.photo(index)[0, 0, 0])
        assert list(stream.as_numpy_iterator()) == list(range(256))
        kept = int(cache.pixels.shape[0])
        assert kept <= resident() - before < 2.5 * kept
        return kept

    kept = read_through(decode_all(split, "host", 1 << 30))
    gc.collect()
    assert resident() - before < 1.5 * kept


def test_the_mean_size_is_estimated_from_readable_photos() -> None:
    class Growing(Levels):
        def read(self, index: int) -> np.ndarray:
            if index == 0:
                raise BadImage("damaged")
            return np.zeros((index, 1, 3), np.uint8)

    assert ImageSplit(Growing(4), None, {}).mean_bytes() == 3 * (1 + 2 + 3) / 3
