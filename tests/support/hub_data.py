"""Data sets of the library `datasets`, made without a network, for tests of hf:NAME."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import datasets

from tests.support.tar_photos import png

CLASSES = ("wasp", "ant", "bee")  # in no alphabetical order


def split_of(levels: Sequence[int], labels: Sequence[int], **columns: Sequence[object]) -> datasets.Dataset:
    """Return one grey photo per level, with its class of `CLASSES`."""
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=list(CLASSES))})
    cells = [{"bytes": png(level), "path": f"{level:03}.png"} for level in levels]
    rows = datasets.Dataset.from_dict({"image": cells, "label": list(labels)}, features=features)
    for name, values in columns.items():
        rows = rows.add_column(name, list(values))
    return rows


def save(folder: Path, **splits: datasets.Dataset) -> Path:
    """Write splits as `save_to_disk` does."""
    datasets.DatasetDict(splits).save_to_disk(str(folder))
    return folder
