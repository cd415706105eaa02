"""Labelled photos in memory: what is read, which are drawn, and that a batch follows from its number."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from tests.support.grey_photos import STILL, levels, open_folder, write
from tf_spot.config import PAPER
from tf_spot.data.labelled import LabelledPhotos
from tf_spot.errors import UserError


def grey(count: int, config=STILL) -> LabelledPhotos:
    """Photos of different shapes, as grey as their index; the label is the index too."""
    photos = [np.full((9 + index, 12, 3), index, np.uint8) for index in range(count)]
    return LabelledPhotos(photos, np.arange(count), image_size=8, config=config, name="made")


def test_the_readable_photos_of_a_source_with_their_labels(tmp_path: Path) -> None:
    write(tmp_path / "train" / "a", 10, 20)
    write(tmp_path / "train" / "b", 30)
    write(tmp_path / "test" / "a", 40)
    write(tmp_path / "test" / "b", 50)
    (tmp_path / "train" / "a" / "010.png").write_text("no picture")
    source = open_folder(tmp_path)
    photos = LabelledPhotos.of(source)
    assert [photo.shape for photo in photos.photos] == [(10, 10, 3)] * 2 and photos.photos[0].dtype == np.uint8
    assert [int(photo[0, 0, 0]) for photo in photos.photos] == [20, 30]
    assert photos.labels.tolist() == [0, 1] and photos.labels.dtype == np.int32
    assert (photos.image_size, photos.config, photos.name) == (8, STILL, source.spec)
    assert LabelledPhotos.of(source, "test").labels.tolist() == [0, 1]


def test_photos_without_a_label_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "a", 10, 20)
    write(tmp_path / "b", *range(30, 40))
    source = open_folder(tmp_path)
    source.pools()["train"].labels[1:] = -1
    with pytest.raises(UserError, match="must all have one; received: folder:.*, of whose train photos .* have none"):
        LabelledPhotos.of(source)


def test_every_epoch_draws_each_photo_once_with_its_label() -> None:
    drawn = []
    for images, labels in grey(8).stream(4, seed=0).take(4):
        assert images.shape == (4, 8, 8, 3)
        assert levels([images]) == labels.numpy().tolist()
        drawn += labels.numpy().tolist()
    assert sorted(drawn[:8]) == sorted(drawn[8:]) == list(range(8)) and drawn[:8] != drawn[8:]


@pytest.mark.parametrize("first_step", [1, 3])
def test_a_batch_is_a_function_of_the_seed_and_its_number(first_step: int) -> None:
    photos = grey(8, dataclasses.replace(PAPER.data))
    whole = [images.numpy() for images, _ in photos.stream(3, seed=5).take(5)]
    rest = [images.numpy() for images, _ in photos.stream(3, seed=5, first_step=first_step).take(5 - first_step)]
    np.testing.assert_array_equal(whole[first_step:], rest)
    assert (next(iter(photos.stream(3, seed=6)))[0].numpy() != whole[0]).any()


def test_only_the_photos_asked_for_are_drawn() -> None:
    chosen = np.array([1, 4, 5, 7])
    labels = np.concatenate([labels for _, labels in grey(8).stream(2, seed=0, indices=chosen).take(4)])
    assert sorted(labels[:4]) == sorted(labels[4:]) == chosen.tolist()


def test_centred_photos_come_in_the_order_given() -> None:
    (first, second) = grey(5).centred(2, np.array([4, 0, 2]))
    assert levels([first[0], second[0]]) == [4, 0, 2]
    assert first[1].numpy().tolist() + second[1].numpy().tolist() == [4, 0, 2]
    assert sum(len(labels) for _, labels in grey(5).centred(2)) == 5


def test_labels_may_be_rows() -> None:
    photos = LabelledPhotos(grey(4).photos, np.eye(4), image_size=8, config=STILL, name="made")
    ((_, labels),) = photos.centred(4)
    np.testing.assert_array_equal(labels, np.eye(4))


def test_fewer_photos_than_a_batch_are_refused() -> None:
    with pytest.raises(UserError, match="batch size 3; received 2 from made"):
        grey(8).stream(3, seed=0, indices=np.arange(2))
