"""Which photos are held out of training, and how photos become splits."""

from __future__ import annotations

import dataclasses

import numpy as np

from tests.support.grey_photos import STILL, levels, open_folder, write
from tf_spot.data.hold_out import hold_out, image_splits, name_hash


class Named:
    """Photos of which only the names matter."""

    labels = None

    def __init__(self, names: list[str]) -> None:
        self.names = names

    def __len__(self) -> int:
        return len(self.names)

    def name(self, index: int) -> str:
        return self.names[index]

    def read(self, index: int) -> np.ndarray:
        return np.zeros((2, 2, 3), np.uint8)


def test_held_out_settings(tmp_path):
    write(tmp_path, *range(100))

    def held_out(**changes):
        return set(levels(open_folder(tmp_path, config=dataclasses.replace(STILL, **changes)).held_out(50)))

    assert len(held_out(held_out_share=0.1)) == 10
    assert len(held_out(held_out_share=0.1, held_out_images=3)) == 3
    assert held_out(held_out_share=0.0) == set()
    before = held_out(held_out_share=0.2)
    (tmp_path / "000.png").unlink()
    assert len(before & held_out(held_out_share=0.2)) >= 18  # one photo less moves one at most


def test_every_photo_is_held_out_or_trained_on() -> None:
    photos = Named([f"{i}.png" for i in range(50)])
    held_out, trained_on = hold_out(photos, dataclasses.replace(STILL, held_out_share=0.2))
    assert len(held_out) == 10
    assert sorted([*held_out, *trained_on]) == list(range(50))
    assert (np.diff(held_out) > 0).all() and (np.diff(trained_on) > 0).all()


def test_the_choice_follows_names_not_the_order() -> None:
    names = [f"{i}.png" for i in range(50)]
    config = dataclasses.replace(STILL, held_out_share=0.2)
    chosen = {names[i] for i in hold_out(Named(names), config)[0]}
    turned = names[::-1]
    assert {turned[i] for i in hold_out(Named(turned), config)[0]} == chosen


def test_hashes_are_spread_and_depend_on_the_purpose() -> None:
    hashes = np.array([name_hash(f"{i}") for i in range(2000)], np.float64) / 2**64
    counts, _ = np.histogram(hashes, 4, (0, 1))
    assert (np.abs(counts - 500) < 80).all()  # binomial(2000, 1/4), 4 standard deviations
    assert name_hash("a") == name_hash("a") != name_hash("a", b"test")


def test_unlabelled_photos_of_their_own_are_the_ones_held_out() -> None:
    train, others = Named(["a", "b", "c"]), Named([f"{i}" for i in range(20)])
    splits = image_splits("made", train, None, others, dataclasses.replace(STILL, held_out_share=0.25))
    assert {name: len(split) for name, split in splits.items()} == {"unlabelled": 15, "held_out": 5, "train": 3}
