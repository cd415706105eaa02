"""Data sets of tensorflow-datasets that are not on this machine."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.data.test_tfds import GreySquares, tfds
from tf_spot.data import load
from tf_spot.data.tfds_prepare import missing_urls, prepared, unanswered
from tf_spot.errors import UserError

URL = "http://127.0.0.1:9/photos.zip"  # where nobody listens


def builder(folder: Path, **urls: object) -> Any:
    """Return a data set that was not prepared."""

    def download_and_prepare() -> None:
        raise OSError("tried to download")

    info = SimpleNamespace(download_size=162 * 2**20, dataset_size=0)
    return SimpleNamespace(
        is_prepared=lambda: False, data_dir=str(folder / "squares"), data_dir_root=folder, info=info, url_infos=urls,
        download_and_prepare=download_and_prepare,
    )  # fmt: skip


def test_a_download_is_said_and_a_silent_server_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tfds, "builder", lambda name: builder(tmp_path, **{URL: None}))
    began = time.monotonic()
    with pytest.raises(UserError, match=r"127.0.0.1:9 does not answer: ConnectionError; connect, or set TFDS_DATA_DIR"):
        prepared("squares")
    assert time.monotonic() - began < 10
    assert f"{tmp_path}/squares (TFDS_DATA_DIR): downloading 162 MiB, and preparing an unknown size" in caplog.text


def test_what_was_downloaded_before_needs_no_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "downloads").mkdir()
    (tmp_path / "downloads" / "photos.zip.INFO").write_text(f'{{"urls": ["{URL}"]}}')
    assert missing_urls(builder(tmp_path, **{URL: None, "other.zip": None})) == []
    monkeypatch.setattr(tfds, "builder", lambda name: builder(tmp_path, **{URL: None}))
    with pytest.raises(UserError, match="tried to download"):
        prepared("squares")


def test_a_server_that_answers() -> None:
    assert unanswered("http://127.0.0.1:9/") == "ConnectionError"


def test_a_prepared_data_set_is_not_announced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tfds, "builder", lambda name: GreySquares(data_dir=tmp_path))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        GreySquares(data_dir=tmp_path).download_and_prepare()
    assert load("tfds:grey_squares", image_size=8).count("train") == 40
    assert "TFDS_DATA_DIR" not in caplog.text


@pytest.mark.slow
def test_the_folder_of_the_environment_is_taken(tmp_path: Path) -> None:
    """In another process, as the library reads the variable when it is imported."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        GreySquares(data_dir=tmp_path).download_and_prepare()
    code = "import tf_spot; print(tf_spot.load('tfds:grey_squares', image_size=8).count('train'))"
    variables = os.environ | {"TFDS_DATA_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=variables, check=True)
    assert done.stdout.split() == ["40"]
