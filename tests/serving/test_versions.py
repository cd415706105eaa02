"""Versions that come, go and change while the server runs, and the folders that are taken."""

import asyncio
import shutil
import time
from pathlib import Path

import pytest

from tests.support.serving_models import write_version
from tests.support.serving_process import (
    IMAGE,
    SECOND,
    Server,
    is_refused,
    put,
    score,
    start_slow_request,
    status,
    wait_for,
)
from tf_spot.serving import AsyncClient, Client, ServingError
from tf_spot.serving.versions import ServedModel


def test_the_folder_that_export_writes(tmp_path: Path) -> None:
    version = tmp_path / "bundle" / "features" / "1"
    version.mkdir(parents=True)
    (version / "saved_model.pb").touch()
    (tmp_path / "bundle" / "manifest.json").touch()
    for folder in (tmp_path / "bundle", tmp_path / "bundle" / "features"):
        model = ServedModel(folder)
        assert (model.name, model.folder) == ("features", version.parent)
    assert ServedModel(tmp_path / "bundle", name="mine").name == "mine"
    assert ServedModel(tmp_path).folder == tmp_path  # no model one floor down: it may still come


def test_a_version_goes_only_when_those_that_came_with_its_end_are_loaded(tmp_path: Path) -> None:
    model = ServedModel(tmp_path, name="model")

    async def swap() -> list[list[int]]:
        await model.poll()
        (tmp_path / "1").rename(tmp_path / ".1")
        write_version(tmp_path, 2)
        looking, seen = asyncio.create_task(model.poll()), []
        while not looking.done():
            seen.append(model.available)
            await asyncio.sleep(0)
        return seen

    write_version(tmp_path, 1)
    seen = asyncio.run(swap())
    assert [1] in seen and all(seen) and model.available == [2]


def test_labels_and_names_that_are_unknown(tmp_path: Path) -> None:
    model = ServedModel(tmp_path, name="model", labels={"stable": 3})
    for wanted, told in (
        (("other",), "'other' is not served here; this server has 'model'"),
        (("model", None, "canary"), "label 'canary' .* it has stable"),
        (("model", None, "stable"), "no version 3 loaded; loaded: none"),
        (("model", 0), "no version 0 loaded"),
    ):
        with pytest.raises(ServingError, match=told) as caught:
            model.find(*wanted)
        assert caught.value.code == "NOT_FOUND"
    with pytest.raises(ServingError, match="no version loaded") as caught:
        model.find("model")
    assert caught.value.code == "UNAVAILABLE" and model.status("model") == {}


def test_versions_appear_and_disappear(server: Server, written: Path) -> None:
    put(server, written, 1)
    assert score(server) == 1
    put(server, written, 2)
    assert score(server) == 2
    assert score(server, version=1) == 1
    shutil.rmtree(server.folder / "2")
    wait_for(lambda: status(server) == {1: "AVAILABLE"})
    assert score(server) == 1
    with pytest.raises(ServingError, match=r"no version 2 loaded; loaded: 1"):
        score(server, version=2)


def test_a_half_copied_version_waits_until_it_is_whole(server: Server, written: Path) -> None:
    put(server, written, 1)
    half = server.folder / "2"
    (half / "variables").mkdir(parents=True)
    time.sleep(0.2)
    assert status(server) == {1: "AVAILABLE"}  # no saved_model.pb yet
    whole = (written / "2" / "saved_model.pb").read_bytes()
    (half / "saved_model.pb").write_bytes(whole[: len(whole) // 2])
    wait_for(lambda: is_refused(server, 2))
    with Client(server.url, model="model", protocol="rest", version=2) as told:
        wait_for(lambda: "cannot be loaded" in told.status()[2]["message"])
    (half / "saved_model.pb").write_bytes(whole)  # and still no variables
    time.sleep(0.2)
    assert score(server) == 1
    for file in (written / "2" / "variables").iterdir():
        shutil.copy(file, half / "variables" / file.name)
    wait_for(lambda: status(server).get(2) == "AVAILABLE")
    assert score(server) == 2


def test_a_spoiled_version_harms_nothing(server: Server, written: Path) -> None:
    put(server, written, 1)
    spoiled = server.folder / "3"
    spoiled.mkdir()
    (spoiled / "saved_model.pb").write_bytes(b"\x00 not a model")
    wait_for(lambda: is_refused(server, 3))
    with Client(server.target, model="model", version=3) as client:
        wait_for(lambda: "cannot be loaded" in client.status()[3]["message"])
        with pytest.raises(ServingError, match="no version 3 loaded"):
            client.predict(IMAGE)
    assert score(server) == 1


def test_a_request_under_way_outlives_its_version(server: Server, written: Path) -> None:
    put(server, written, 1)
    with Client(server.target, model="model", signature="slow") as client:
        asking, answers = start_slow_request(server, client)
        shutil.rmtree(server.folder / "1")
        wait_for(lambda: status(server) == {})
        asking.join()
    assert answers == [[2 * SECOND]]


def test_a_swap_loses_no_request(server: Server, written: Path) -> None:
    put(server, written, 1)

    async def ask() -> list[float]:
        scores = []
        async with AsyncClient(server.target, model="model", retries=0) as client:
            swapped = asyncio.create_task(asyncio.to_thread(swap))
            while not swapped.done():
                scores.append(float((await client.predict(IMAGE))["score"][0]))
            scores.append(float((await client.predict(IMAGE))["score"][0]))
        return scores

    def swap() -> None:  # the new one in first, as at any look the server takes the folder as it stands
        shutil.copytree(written / "2", server.folder / ".aside")
        (server.folder / ".aside").rename(server.folder / "2")
        shutil.rmtree(server.folder / "1")
        wait_for(lambda: status(server) == {2: "AVAILABLE"})

    scores = asyncio.run(ask())
    assert scores == sorted(scores) and set(scores) <= {1.0, 2.0} and scores[-1] == 2
