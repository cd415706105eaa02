"""Labelled examples: what is refused, what is held out, and how often photos are decoded."""

from __future__ import annotations

import shutil
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tests.support.bright_quarters import dataset, maps, photos
from tests.support.evaluation_data import SIZE, Stripes
from tf_spot.errors import UserError
from tf_spot.evaluation import linear_probe
from tf_spot.evaluation.probes.examples import Examples, decoded_once


class CountedStripes(Stripes):
    """Counts the images that are made."""

    made = 0

    def labelled(self, split: str, batch_size: int) -> tf.data.Dataset:
        def count(images: np.ndarray) -> np.ndarray:
            self.made += len(images)
            return images

        batches = super().labelled(split, batch_size)
        return batches.map(lambda images, labels: (tf.numpy_function(count, [images], tf.float32), labels))


@pytest.mark.parametrize(("room", "times"), [(1e12, 1), (90 * SIZE**2 * 3 * 4 * 2, 3)])
def test_photos_are_decoded_once_where_there_is_room(
    room: float, times: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: types.SimpleNamespace(free=room))
    source = CountedStripes()
    with decoded_once(source, 16) as datasets:
        for split, dataset in zip(("train", "test"), datasets, strict=True):
            for _ in range(3):
                for found, wanted in zip(dataset, Stripes().labelled(split, 16), strict=True):
                    np.testing.assert_array_equal(found[0], wanted[0])
                    np.testing.assert_array_equal(found[1], wanted[1])
        assert source.made == 90 * times
    assert not list(tmp_path.glob("tf_spot-*"))


def refused(train: Any, test: Any, match: str) -> None:
    with pytest.raises(UserError, match=match):
        linear_probe(maps, train, test)


def test_refuses_labels_that_cannot_be_probed() -> None:
    images, labels = photos(40, 0)
    good = dataset(images, labels)
    refused(dataset(images, labels * 0 + 7), good, "one: label 7")
    refused(good, dataset(images, labels * 0 + 8), "test label 8")
    refused(dataset(images, labels - 100), good, "without a label")
    refused(good.map(lambda images, labels: images), good, "train_ds must give .images, labels.")
    refused(good, good.map(lambda images, labels: (images, tf.cast(labels, tf.float32))), "whole numbers")
    refused(good.map(lambda images, labels: (images, labels[:, None])), good, "shape")
    refused(good.take(0), good, "received none")
    refused(good.unbatch().take(9).batch(3), good, "received: 9")
    refused(good.repeat(), good, "repeats for ever")


def test_refuses_an_order_that_changes() -> None:
    images, labels = photos(100, 0)
    shuffled = tf.data.Dataset.from_tensor_slices((images, labels)).shuffle(100).batch(20)
    refused(shuffled, dataset(images, labels), "another order")


def test_classes_are_numbered_and_a_fifth_is_held_out_by_the_seed() -> None:
    train, test = dataset(*photos(200, 0)), dataset(*photos(50, 1))
    first, again, other = (Examples(train, test, seed) for seed in (0, 0, 1))
    assert first.num_classes == 4 and set(first.train_classes) == set(first.test_classes) == {0, 1, 2, 3}
    assert first.sizes == {"train_images": 200, "test_images": 50}
    assert first.held_out.sum() == 40
    assert np.array_equal(first.held_out, again.held_out) and not np.array_equal(first.held_out, other.held_out)
    seen = [(images.shape, rows) for images, rows in first.batches("test")]
    assert seen == [((50, 8, 8, 3), slice(0, 50))]


@pytest.mark.parametrize("split", ["train", "test"])
def test_photos_in_another_range_are_refused_at_the_first_batch(split: str) -> None:
    images = np.random.default_rng(0).uniform(0, 255, (20, 4, 4, 3)).astype(np.float32)
    labels = np.arange(20) % 2
    both = {"train": [(images / 127.5 - 1, labels)], "test": [(images / 127.5 - 1, labels)]}
    Examples(both["train"], both["test"])
    for wrong in (images, images.astype(np.uint8)):
        with pytest.raises(UserError, match=rf"images of {split}_ds must be float32 in \[-1, 1\]; received"):
            Examples(**{f"{name}_ds": [(wrong, labels)] if name == split else both[name] for name in both})
