"""Photos in memory as a source."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.support.grey_photos import STILL, levels
from tf_spot.data import Source
from tf_spot.data.arrays import open_arrays
from tf_spot.errors import UserError


def grey(*levels: int, shape: tuple[int, ...] = (10, 10, 3)) -> np.ndarray:
    return np.stack([np.full(shape, level, np.uint8) for level in levels])


def opened(*arrays: Any, **kwargs: Any) -> Source:
    return open_arrays(*arrays, image_size=8, **{"config": STILL, **kwargs})


@pytest.mark.parametrize("shape", [(10, 10, 3), (10, 10, 1), (10, 10)])
def test_splits_and_labels(shape: tuple[int, ...]) -> None:
    labels = np.array([[1], [0], [1]])  # as the data sets of Keras have them
    source = opened(grey(1, 2, 3, shape=shape), labels, grey(4, shape=shape), np.array([0]), class_names=["ant", "bee"])
    (train,), (test,) = source.labelled("train", 8), source.labelled("test", 8)
    assert levels([train[0]]) == [1, 2, 3] and train[1].numpy().tolist() == [1, 0, 1]
    assert levels([test[0]]) == [4] and test[1].numpy().tolist() == [0]
    assert (source.name, source.class_names, source.photo_path("test", 0)) == ("arrays", ["ant", "bee"], "test/0")
    assert opened(grey(1), np.array([2], np.uint8)).class_names == ["0", "1", "2"]


def test_photos_of_several_sizes() -> None:
    source = opened([grey(1)[0], grey(2, shape=(12, 20))[0]])
    assert not source.has_labels and not source.has_test
    assert sorted(levels(source.unlabelled(2, num_steps=1))) == [1, 2]


def test_without_a_test_split_a_fifth_of_labelled_photos_becomes_it() -> None:
    source = opened(grey(*range(100)), np.arange(100) % 2, name="mine")
    assert 5 <= source.count("test") <= 40 and source.count("train") + source.count("test") == 100
    (images, labels), *_ = source.labelled("test", 64)
    assert [level % 2 for level in levels([images])] == labels.numpy().tolist()
    assert source.record()["spec"] == "arrays:mine"


def test_the_fingerprint_is_of_photos_and_labels() -> None:
    labels = np.array([0, 1])
    prints = {
        opened(grey(*these), numbers).fingerprint
        for these, numbers in (((1, 2), labels), ((1, 3), labels), ((1, 2), 1 - labels), ((1, 2), None))
    }
    assert len(prints) == 4 and opened(grey(1, 2), labels).fingerprint in prints


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ((grey(1) / 255.0,), r"photos must be uint8 from 0 to 255.*received: photos of float64 \(10, 10, 3\) in train"),
        ((grey(1, shape=(10, 10, 4)),), r"uint8 \(10, 10, 4\)"),
        (([[1]],), "photos of list"),
        ((grey(1)[:0],), "train must hold photos"),
        ((grey(1), np.array([0, 1])), r"one whole number from 0 per photo; received: \(2,\) of int64 for 1 photos"),
        ((grey(1), np.array([-1])), "from 0 per photo"),
        ((grey(1), np.array([0.5])), "of float64 for 1"),
        ((grey(1), np.array([0]), grey(2)), "both splits must have labels, or neither"),
    ],
)
def test_what_does_not_fit(arrays: Any, says: str) -> None:
    with pytest.raises(UserError, match=says):
        opened(*arrays)


def test_too_few_names() -> None:
    with pytest.raises(UserError, match="received: label 1, 1 names"):
        opened(grey(1, 2), np.array([0, 1]), class_names=["ant"])
