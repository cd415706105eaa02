"""Which photos are for what: those held out of training, and the splits of a set of photos."""

from __future__ import annotations

import hashlib
import os
from typing import Protocol, Self, TypeVar

import numpy as np

from tf_spot.config import DataConfig
from tf_spot.data.images import Images
from tf_spot.data.split import ImageSplit, Split
from tf_spot.errors import UserError

TEST_SHARE = 0.2  # of labelled photos that have no test split of their own


class Divisible(Images, Protocol):
    """Photos of which some can be taken."""

    def subset(self, keep: np.ndarray) -> Self:
        """Return the photos where `keep`, bool (photos,), is true."""


Photos = TypeVar("Photos", bound=Divisible)


def image_splits(
    spec: str, train: Images, test: Images | None, unlabelled: Images | None, config: DataConfig
) -> dict[str, Split]:
    """Return the splits of a source whose photos can be read in any order.

    Args:
        spec: of the source, for messages.
        train: photos to train on with labels, if they have any.
        test: photos to test on.
        unlabelled: photos to train on without labels; None: those of `train`.
        config: how many of them are held out.

    Returns:
        `unlabelled`, `held_out`, `train` and, where there is one, `test`.

    Raises:
        UserError: not one of the photos to train on can be read.
    """
    bad: dict[str, str] = {}  # shared by the splits to learn from, so that a photo in two of them is listed once
    learnt = train if unlabelled is None else unlabelled
    held_out, training = hold_out(learnt, config)
    trained_on = ImageSplit(learnt, training, bad)
    splits: dict[str, Split] = {
        "unlabelled": trained_on,
        "held_out": ImageSplit(learnt, held_out, bad),
        "train": ImageSplit(train, None, bad),
    }
    if test is not None:
        splits["test"] = ImageSplit(test, None, {})  # its photos may have the names of others
    # Stops at the first photo that can be read, as a rule the first of all.
    if all(photo is None for photo in map(trained_on.read, range(len(training)))):
        example = next((f"; {file}: {reason}" for file, reason in bad.items()), "")
        raise UserError(f"{spec} must hold photos that can be read; received {len(bad)} that cannot{example}")
    return splits


def hold_out(images: Images, config: DataConfig) -> tuple[np.ndarray, np.ndarray]:
    """Divide photos into those held out of training and those trained on.

    Which are held out depends on their names alone, so that it hardly changes when photos are added.

    Returns:
        indices int64 (held out,) and int64 (trained on,), both ascending.
    """
    count = min(config.held_out_images, int(config.held_out_share * len(images)))
    hashes = np.fromiter((name_hash(images.name(i)) for i in range(len(images))), np.uint64, len(images))
    order = np.argsort(hashes, kind="stable")  # (photos,); the smallest hashes are held out
    return np.sort(order[:count]), np.sort(order[count:])


def cut_off_test(images: Photos) -> tuple[Photos, Photos | None]:
    """Divide into training photos and a fifth for testing, None if chance chose none of a handful, or all."""
    # By a hash of the name: adding photos moves none of the others between the two.
    hashes = (name_hash(images.name(index), b"test") for index in range(len(images)))
    chosen = np.fromiter((number < TEST_SHARE * 2**64 for number in hashes), bool, len(images))
    if chosen.all() or not chosen.any():
        return images, None
    return images.subset(~chosen), images.subset(chosen)


def name_hash(name: str, purpose: bytes = b"held out") -> int:
    """Return a whole number below 2^64, evenly spread, and another one for another purpose."""
    digest = hashlib.blake2b(os.fsencode(name), digest_size=8, person=purpose)
    return int.from_bytes(digest.digest(), "little")
