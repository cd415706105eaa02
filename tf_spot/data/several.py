"""Several sources as one: the union of their photos, each of which is drawn equally often."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from tf_spot.data.images import Images
from tf_spot.data.shard_records import EncodedImages
from tf_spot.data.source import Source
from tf_spot.data.split import Files
from tf_spot.errors import UserError
from tf_spot.storage.spec import SEPARATOR


class JoinedImages:
    """The photos of some sequences, one after the other.

    Args:
        parts: the sequences.
        names: of each, which begin the names of its photos.
        labels: int32 (photos of all parts,), or None.
    """

    def __init__(self, parts: Sequence[Images], names: Sequence[str], labels: np.ndarray | None) -> None:
        self.parts, self.names, self.labels = parts, names, labels
        self.ends = np.cumsum([len(part) for part in parts])

    def __len__(self) -> int:
        return int(self.ends[-1])

    def read(self, index: int) -> np.ndarray:
        """Return a photo, uint8 RGB (height, width, 3)."""
        number, own = self._find(index)
        return self.parts[number].read(own)

    def encoded(self, index: int) -> bytes | None:
        """Return the content of a photo's file; None where its part is none of files."""
        number, own = self._find(index)
        part = self.parts[number]
        return part.encoded(own) if isinstance(part, EncodedImages) else None

    def name(self, index: int) -> str:
        number, own = self._find(index)
        return f"{self.names[number]}/{self.parts[number].name(own)}"

    def _find(self, index: int) -> tuple[int, int]:
        """Return the number of the part that has the photo, and the photo's index in it."""
        number = int(np.searchsorted(self.ends, index, side="right"))
        return number, index - int(self.ends[number] - len(self.parts[number]))


class JoinedFiles(JoinedImages):
    """The same of photos that lie in a file each, which evaluations read without Python."""

    @property
    def image_size(self) -> int:
        size: int = self.parts[0].image_size  # type: ignore[attr-defined]
        return size

    def paths(self, indices: np.ndarray) -> list[bytes]:
        """Return the paths of the files at `indices`, int64 (photos,)."""
        found = (self._find(index) for index in indices.tolist())
        return [self.parts[number].paths(np.array([own]))[0] for number, own in found]  # type: ignore[attr-defined]


def join(sources: Sequence[Source]) -> Source:
    """Return the union of some sources that were opened with the same settings.

    It has labels if all of them have; classes of the same name are one class. Its test split is the union of theirs.

    Raises:
        UserError: a source whose photos can only be read in order, or one that is given twice.
    """
    first, pools = sources[0], [source.pools() for source in sources]
    spec = SEPARATOR.join(source.spec for source in sources)
    if len({source.fingerprint for source in sources}) < len(sources):
        raise UserError(f"each source must be given once; received: {spec}")
    class_names = _class_names(sources)

    def joined(split: str) -> JoinedImages | None:
        """Return the union of a split; None where no source has it."""
        if not any(split in pool for pool in pools):
            return None
        # A source without photos of its own for training without labels is trained on those of `train`.
        parts = [pool.get(split, pool["train"] if split == "unlabelled" else None) for pool in pools]
        return _joined(sources, parts, class_names if split != "unlabelled" else None)

    return Source.from_images(
        "+".join(_names(sources)),
        spec,
        _joined(sources, [pool["train"] for pool in pools], class_names),
        joined("test"),
        unlabelled=joined("unlabelled"),
        image_size=first.image_size,
        config=first.config,
        fingerprint=hashlib.sha256("".join(source.fingerprint for source in sources).encode()).hexdigest(),
        class_names=class_names,
        seed=first.seed,
        folders={"train": "train", "test": "test"},  # a source may have one name in both
    )


def _names(sources: Sequence[Source]) -> list[str]:
    """Return a name of each source, numbered where several have the same."""
    names = [source.name for source in sources]
    return [f"{name}-{i}" if names.count(name) > 1 else name for i, name in enumerate(names, start=1)]


def _class_names(sources: Sequence[Source]) -> list[str] | None:
    """Return the names of all classes, sorted; None unless every source has labels and names."""
    named = [source.class_names for source in sources if source.has_labels and source.class_names]
    return sorted({name for names in named for name in names}) if len(named) == len(sources) else None


def _joined(sources: Sequence[Source], parts: Sequence[Images | None], class_names: list[str] | None) -> JoinedImages:
    """Return the parts that there are, with the labels that the classes of all sources have."""
    there = [(source, name, part) for source, name, part in zip(sources, _names(sources), parts, strict=True) if part]
    labels = None
    if class_names is not None:
        numbers = {name: number for number, name in enumerate(class_names)}
        of_source = [np.array([numbers[name] for name in source.class_names or ()], np.int32) for source, _, _ in there]
        labels = np.concatenate([table[part.labels] for table, (_, _, part) in zip(of_source, there, strict=True)])
    images = [part for _, _, part in there]
    kind = JoinedFiles if all(isinstance(part, Files) for part in images) else JoinedImages
    return kind(images, [name for _, name, _ in there], labels)
