"""Data sets in the cache and on the hub, which a stand-in answers for: tests have no network."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import datasets
import huggingface_hub
import pytest
from huggingface_hub.errors import HfHubHTTPError

from tests.support.hub_data import split_of
from tf_spot.data.hf_load import load_splits
from tf_spot.errors import UserError


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    return tmp_path / "cache"


def answer(monkeypatch: pytest.MonkeyPatch, answered: object) -> list[str]:
    """Let the hub give or raise something; return the names that it is asked for."""
    asked = []

    def dataset_info(self: object, name: str, **options: Any) -> object:
        asked.append(name)
        if isinstance(answered, Exception):
            raise answered
        return answered

    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", dataset_info)
    return asked


def write_cache(cache: Path, tmp_path: Path) -> None:
    """Put owner/insects into the cache, as a download would."""
    split_of([1, 2], [0, 1]).to_parquet(str(tmp_path / "train.parquet"))
    built = datasets.load_dataset_builder("parquet", data_files={"train": str(tmp_path / "train.parquet")})
    built.download_and_prepare()
    made = Path(built.cache_dir)
    place = cache / "owner___insects" / "default" / "0.0.0" / made.name
    place.parent.mkdir(parents=True)
    made.rename(place)
    for file in place.glob("parquet-*.arrow"):
        file.rename(place / file.name.replace("parquet-", "insects-"))


def test_a_cached_data_set_opens_without_the_hub(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_cache(cache, tmp_path)
    asked = answer(monkeypatch, ConnectionError("no route"))
    found = load_splits("owner/insects")
    assert (list(found), len(found["train"]), asked) == (["train"], 2, ["owner/insects"])
    assert not datasets.config.HF_HUB_OFFLINE, "as it was"


def test_offline_the_hub_is_not_even_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = answer(monkeypatch, ConnectionError())
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match="owner/gone, which is not in the cache .*: HF_HUB_OFFLINE is set; connect"):
        load_splits("owner/gone")
    assert asked == []


def test_without_a_network_it_gives_up_at_once() -> None:
    """The real client, at a port where nobody listens; the library alone would try for half a minute."""
    began = time.monotonic()
    endpoint = datasets.config.HF_ENDPOINT
    datasets.config.HF_ENDPOINT = "http://127.0.0.1:9"
    try:
        with pytest.raises(UserError, match="not in the cache .*, and the hub does not answer: .*; connect, or give"):
            load_splits("owner/gone")
    finally:
        datasets.config.HF_ENDPOINT = endpoint
    assert time.monotonic() - began < 10


@pytest.mark.parametrize(("status", "says"), [(404, "status 404: no such"), (503, "does not answer: status 503")])
def test_what_the_hub_refuses(monkeypatch: pytest.MonkeyPatch, status: int, says: str) -> None:
    error = HfHubHTTPError.__new__(HfHubHTTPError)
    Exception.__init__(error, "no such data set\nRequest ID 7")
    error.response = SimpleNamespace(status_code=status)  # type: ignore[assignment]
    answer(monkeypatch, error)
    with pytest.raises(UserError, match=says) as caught:
        load_splits("owner/gone")
    assert "\n" not in str(caught.value)


def test_a_download_is_said_before_it_begins(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    split_of([1, 2], [0, 1]).to_parquet(str(tmp_path / "train.parquet"))
    answer(monkeypatch, SimpleNamespace(siblings=[SimpleNamespace(size=3 * 2**20), SimpleNamespace(size=None)]))
    real = datasets.load_dataset_builder

    def builder(name: str, config: str | None, revision: str | None) -> Any:
        assert (name, config, revision) == ("owner/insects", "small", "v1")
        return real("parquet", data_files={"train": str(tmp_path / "train.parquet")})

    monkeypatch.setattr(datasets, "load_dataset_builder", builder)
    assert len(load_splits("owner/insects", "small", "v1")["train"]) == 2
    assert f"downloading up to 3 MiB of hf:owner/insects into {cache} (HF_HOME), once" in caplog.text
    caplog.clear()
    load_splits("owner/insects", "small", "v1")
    assert caplog.text == ""


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(UserError, match=r"hf:NAME needs datasets, which is missing; run pip install tf-spot\[hf\]"):
        load_splits("owner/name")


def test_a_folder_that_cannot_be_loaded(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="that the library datasets can load; received: .*") as caught:
        load_splits(str(tmp_path))
    assert "\n" not in str(caught.value)
