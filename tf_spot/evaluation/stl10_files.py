"""STL-10's official files: where they are, and whether they are the official ones."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np

from tf_spot.errors import UserError

FOLDS = 10
OFFICIAL = {  # MD5 of the files in the official archive
    "train_X.bin": "918c2871b30a85fa023e0c44e0bee87f",
    "train_y.bin": "5a34089d4802c674881badbb80307741",
    "test_X.bin": "7f263ba9f9e0b06b93213547f721ac82",
    "test_y.bin": "36f9794fa4beb8a2c72628de14fa638e",
}


def check_folds(folds: list[np.ndarray]) -> list[np.ndarray]:
    """Return the folds, int64 (examples,) each, if they are ten of one size, as in the official file.

    That they fit the photos is checked when they are read.

    Raises:
        UserError: they are not.
    """
    sizes = sorted({len(fold) for fold in folds})
    if len(folds) != FOLDS or len(sizes) != 1:
        raise UserError(
            f"fold_indices.txt must hold {FOLDS} folds of one size; received: {len(folds)} folds of "
            f"{' to '.join(str(size) for size in {sizes[0]: 0, sizes[-1]: 0})}; is the download complete?"
        )
    return folds


def local_spec(spec: str) -> str:
    """Return `tfds:stl10` as the spec of the binaries that tensorflow-datasets unpacked, and other specs as given.

    Its own records are in another order, which the official folds do not fit.

    Raises:
        UserError: the unpacked binaries have been removed.
    """
    if spec.partition("/")[0] != "tfds:stl10":
        return spec
    root = Path(os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets").expanduser()
    found = sorted((root / "downloads" / "extracted").glob("*/stl10_binary"))
    if not found:
        raise UserError(
            "the folds of STL-10 count photos in the order of the official files, tensorflow-datasets keeps them in "
            f"another; received: tfds:stl10 without its unpacked archive in {root / 'downloads' / 'extracted'}; "
            "unpack stl10_binary.tar.gz and give stl10:PATH"
        )
    return f"stl10:{found[0]}"


def official_files(spec: str) -> dict[str, bool]:
    """Return which files in the folder of `stl10:PATH` are those of the official archive, by their MD5."""
    root = Path(spec.partition(":")[2]).expanduser()
    root = root / "stl10_binary" if (root / "stl10_binary").is_dir() else root
    same = {}
    for name, expected in OFFICIAL.items():
        with open(root / name, "rb") as file:
            same[name] = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest() == expected
    return same
