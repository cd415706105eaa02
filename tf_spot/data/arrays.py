"""Photos that are in memory already, as NumPy arrays: a source for everything in Python that takes one."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from tf_spot.config import PAPER, DataConfig
from tf_spot.data.hold_out import cut_off_test
from tf_spot.data.source import Source
from tf_spot.errors import UserError

Photos = Sequence[np.ndarray] | np.ndarray


class ArrayImages:
    """Photos in memory.

    Args:
        photos: uint8 (height, width), (height, width, 1) or (height, width, 3) each, of any size.
        labels: int32 (photos,), or None.
        indices: int64 (photos,), in `photos`.
    """

    def __init__(self, photos: Photos, labels: np.ndarray | None, indices: np.ndarray) -> None:
        self.photos, self.labels, self.indices = photos, labels, indices

    def __len__(self) -> int:
        return len(self.indices)

    def read(self, index: int) -> np.ndarray:
        """Return a photo, uint8 RGB (height, width, 3); grey ones are repeated."""
        photo = self.photos[self.indices[index]]
        return np.repeat(photo.reshape(*photo.shape[:2], 1), 3, axis=-1) if photo.shape[2:] != (3,) else photo

    def name(self, index: int) -> str:
        return str(self.indices[index])

    def subset(self, keep: np.ndarray) -> ArrayImages:
        """Return the photos where `keep`, bool (photos,), is true."""
        return ArrayImages(self.photos, None if self.labels is None else self.labels[keep], self.indices[keep])


def open_arrays(
    train: Photos,
    labels: np.ndarray | None = None,
    test: Photos | None = None,
    test_labels: np.ndarray | None = None,
    *,
    image_size: int,
    name: str = "arrays",
    class_names: Sequence[str] | None = None,
    config: DataConfig = PAPER.data,
    seed: int = 0,
) -> Source:
    """Make a source of photos in memory. A run that is trained on it can be resumed with the same arrays only.

    Args:
        train, test: uint8 (photos, height, width, 3), or without channels or with one for grey photos; or a list of
            photos, if these differ in size. Without `test` a fifth of labelled photos becomes the test split.
        labels, test_labels: whole numbers from 0, (photos,) or (photos, 1).
        image_size: pixels, both sides of every image.
        name: of the data set, as result files have it.
        class_names: by label; by default the numbers as text.
        config, seed: see `tf_spot.load`.

    Raises:
        UserError: photos or labels of another type or shape, or labels for one of the splits alone.
    """
    parts = [_images("train", train, labels)]
    if test is not None:
        parts.append(_images("test", test, test_labels))
        if (labels is None) != (test_labels is None):
            raise UserError("both splits must have labels, or neither; received: labels of one alone")
    counts = [0 if part.labels is None else int(part.labels.max()) + 1 for part in parts]
    names = list(class_names) if class_names is not None else [str(number) for number in range(max(counts))]
    if max(counts) > len(names):
        raise UserError(
            f"every label must have a name in class_names; received: label {max(counts) - 1}, {len(names)} names"
        )
    digest = hashlib.sha256()
    for part in parts:
        for photo in part.photos:
            digest.update(f"{photo.shape}".encode() + np.ascontiguousarray(photo).tobytes())
        digest.update(b"" if part.labels is None else part.labels.tobytes())
    if test is None and labels is not None:
        parts = [part for part in cut_off_test(parts[0]) if part is not None]
    return Source.from_images(
        name,
        f"arrays:{name}",
        parts[0],
        parts[1] if len(parts) > 1 else None,
        image_size=image_size,
        config=config,
        fingerprint=digest.hexdigest(),
        class_names=names if labels is not None else None,
        seed=seed,
        folders={"train": "train", "test": "test"},
    )


def _images(split: str, photos: Photos, labels: np.ndarray | None) -> ArrayImages:
    """Return checked photos and labels."""
    if not len(photos):
        raise UserError(f"{split} must hold photos; received: none")
    for photo in photos if isinstance(photos, Sequence) else photos[:1]:  # an array has one shape and type
        if getattr(photo, "dtype", None) != np.uint8 or photo.shape[2:] not in ((), (1,), (3,)) or photo.ndim < 2:
            raise UserError(
                "photos must be uint8 from 0 to 255, (height, width, 3) or grey; received: photos of "
                f"{getattr(photo, 'dtype', type(photo).__name__)} {getattr(photo, 'shape', '')} in {split}"
            )
    if labels is None:
        return ArrayImages(photos, None, np.arange(len(photos)))
    numbers = np.asarray(labels).reshape(-1)
    if len(numbers) != len(photos) or numbers.dtype.kind not in "iu" or numbers.min() < 0:
        raise UserError(
            f"labels must be one whole number from 0 per photo; received: {np.shape(labels)} of {numbers.dtype} for "
            f"{len(photos)} photos in {split}"
        )
    return ArrayImages(photos, numbers.astype(np.int32), np.arange(len(photos)))
