"""Files that earlier versions wrote still open, and answer as they did.

`files.tar.xz` was written at commit c342356 by `write_files.py`; `answers.npz` holds what that commit computed from
them, by `answers.py`.
"""

from __future__ import annotations

import tarfile
from pathlib import Path

import numpy as np
import pytest

from tests.compatibility.answers import ANSWERS

HERE = Path(__file__).parent
# Rounding differs between processors (AVX2, AVX-512), which add in another order; on one machine all are equal to the
# bit: `python tests/compatibility/answers.py FILES OUT.npz` writes them for a comparison.
TOLERANCE = 2e-5


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("old_files")
    with tarfile.open(HERE / "files.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    return folder


@pytest.mark.parametrize("name", ANSWERS)
def test_an_old_file_gives_the_same_answers(name: str, files: Path, tmp_path: Path) -> None:
    with np.load(HERE / "answers.npz") as expected:
        wanted = {key.partition("/")[2]: expected[key] for key in expected.files if key.partition("/")[0] == name}
    found = ANSWERS[name](files, tmp_path)
    assert set(found) == set(wanted) and wanted
    for key, value in found.items():
        if value.dtype.kind in "fc":
            np.testing.assert_allclose(value, wanted[key], rtol=TOLERANCE, atol=TOLERANCE, err_msg=key)
        else:
            np.testing.assert_array_equal(value, wanted[key], err_msg=key)
