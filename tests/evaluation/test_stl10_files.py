"""STL-10's official files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.support.evaluation_data import SIZE, ten_folds, write_stl10
from tf_spot.data import load
from tf_spot.errors import UserError
from tf_spot.evaluation.stl10_files import check_folds, local_spec, official_files


@pytest.mark.parametrize(
    ("sizes", "says"), [([5] * 9, "9 folds of 5"), ([5] * 9 + [4], "10 folds of 4 to 5"), ([5] * 11, "11 folds of 5")]
)
def test_folds_must_be_ten_of_one_size(sizes: list[int], says: str) -> None:
    with pytest.raises(UserError, match=f"10 folds of one size; received: {says};"):
        check_folds([np.arange(size) for size in sizes])
    check_folds([np.arange(5)] * 10)


def test_tfds_stl10_reads_the_files_it_was_made_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    assert local_spec("stl10:x") == "stl10:x"
    with pytest.raises(UserError, match="unpack stl10_binary.tar.gz and give stl10:PATH"):
        local_spec("tfds:stl10")
    inner = tmp_path / "downloads" / "extracted" / "TAR_GZ.x" / "stl10_binary"
    inner.mkdir(parents=True)
    assert local_spec("tfds:stl10") == local_spec("tfds:stl10/plain:1.0.0") == f"stl10:{inner}"
    write_stl10(inner, ten_folds())
    assert load(local_spec("tfds:stl10"), image_size=SIZE).count("train") == 60
    assert official_files(f"stl10:{inner.parent}") == dict.fromkeys(
        ("train_X.bin", "train_y.bin", "test_X.bin", "test_y.bin"), False
    )
