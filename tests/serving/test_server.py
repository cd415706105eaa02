"""`tf-spot serve` itself: versions that come and go, a bounded queue, spoiled folders, a graceful stop."""

import asyncio
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from tests.support.serving_models import write_version
from tests.support.serving_process import Server
from tf_spot.cli import main
from tf_spot.serving import AsyncClient, Client, MessageTooLarge, ServingError

IMAGE = np.zeros((1, 4, 4, 3), np.float32)
SECOND = 60_000  # turns of `slow` that take a good part of a second


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Versions 1 and 2, to be copied."""
    folder = tmp_path_factory.mktemp("written")
    for version in (1, 2):
        write_version(folder, version)
    return folder


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("models") / "model"
    folder.mkdir()
    limits = ("--max-queue", "4", "--max-batch-size", "4", "--max-message-bytes", "20000", "--batch-timeout-ms", "1")
    started = Server(folder, "--poll-seconds", "0.05", *limits)
    started.folder = folder
    yield started
    started.stop()


@pytest.fixture(autouse=True)
def empty(request: pytest.FixtureRequest) -> Iterator[None]:
    """Each test starts without versions."""
    yield
    if "server" in request.fixturenames:
        folder = request.getfixturevalue("server").folder
        for version in folder.iterdir():
            shutil.rmtree(version)
        wait_for(lambda: status(request.getfixturevalue("server")) == {})


def status(server: Server, ended: bool = False) -> dict[int, str]:
    with Client(server.url, model="model", protocol="rest") as client:
        return {version: one["state"] for version, one in client.status().items() if ended or one["state"] != "END"}


def wait_for(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.02)


def counted(server: Server, line: str) -> float:
    """The sum of the counters whose lines begin so."""
    text = httpx.get(f"{server.url}/monitoring/prometheus/metrics").text
    return sum(float(one.split()[-1]) for one in text.splitlines() if one.startswith(line))


def start_slow_request(server: Server, client: Client) -> tuple[threading.Thread, list[Any]]:
    """Asks in a thread; back when the model runs."""
    answers: list[Any] = []
    before = counted(server, "tf_spot_serving_batch_rows_count")
    turns = {"turns": np.array([2 * SECOND], np.int32)}
    thread = threading.Thread(target=lambda: answers.append(client.predict(turns)["turns"].tolist()))
    thread.start()
    wait_for(lambda: counted(server, "tf_spot_serving_batch_rows_count") > before)
    return thread, answers


def put(server: Server, written: Path, version: int) -> None:
    aside = server.folder / f".aside-{version}"
    shutil.copytree(written / str(version), aside)
    aside.rename(server.folder / str(version))
    wait_for(lambda: status(server).get(version) == "AVAILABLE")


def score(server: Server, protocol: str = "grpc", **options: Any) -> float:
    place = server.target if protocol == "grpc" else server.url
    with Client(place, model="model", protocol=protocol, retries=0, **options) as client:
        return float(client.predict(IMAGE)["score"][0])


@pytest.mark.parametrize(("protocol", "http"), [("grpc", None), ("rest", 503)])
def test_no_version_is_unavailable(server: Server, protocol: str, http: int | None) -> None:
    with pytest.raises(ServingError, match="no version loaded") as caught:
        score(server, protocol)
    assert caught.value.code == "UNAVAILABLE"
    if http:
        assert httpx.post(f"{server.model_url}:predict", json={"inputs": [1]}).status_code == http


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
    with Client(server.url, model="model", protocol="rest", version=2) as told:
        wait_for(lambda: status(server, ended=True).get(2) == "END")
        assert told.status()[2]["code"] == "INVALID_ARGUMENT"
        assert "cannot be loaded" in told.status()[2]["message"]
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
    with Client(server.target, model="model", version=3) as client:
        wait_for(lambda: status(server, ended=True).get(3) == "END")
        assert "cannot be loaded" in client.status()[3]["message"]
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


@pytest.mark.parametrize("protocol", ["grpc", "rest"])
def test_a_full_queue_refuses(server: Server, written: Path, protocol: str) -> None:
    put(server, written, 1)
    place = server.target if protocol == "grpc" else server.url

    async def ask(retries: int) -> list[Any]:
        async with AsyncClient(place, model="model", protocol=protocol, signature="slow", retries=retries) as client:
            await client.predict({"turns": np.array([1], np.int32)})
            calls = [client.predict({"turns": np.array([SECOND // 4] * 4, np.int32)}) for _ in range(10)]
            return await asyncio.gather(*calls, return_exceptions=True)

    found = asyncio.run(ask(retries=0))
    refused = [one for one in found if isinstance(one, ServingError)]
    assert {one.code for one in refused} == {"RESOURCE_EXHAUSTED"} and "queue is full" in refused[0].message
    assert 1 <= len(found) - len(refused) <= 7  # four wait, one or two run, one may slip in between
    patient = asyncio.run(ask(retries=20))
    assert all(one["turns"].tolist() == [SECOND // 4] * 4 for one in patient)


def test_too_many_rows_for_one_batch(server: Server, written: Path) -> None:
    put(server, written, 1)
    with Client(server.target, model="model") as client, pytest.raises(ServingError, match="at most 4") as caught:
        client.predict(np.zeros((5, 4, 4, 3)))
    assert caught.value.code == "INVALID_ARGUMENT"


def test_too_large_messages(server: Server, written: Path) -> None:
    put(server, written, 1)
    for protocol, place in (("grpc", server.target), ("rest", server.url)):
        with Client(place, model="model", protocol=protocol) as client:
            started = time.monotonic()
            with pytest.raises(MessageTooLarge, match="20000"):
                client.predict([b"x" * 20_000])
            assert time.monotonic() - started < 2  # not tried again
    answer = httpx.post(f"{server.model_url}:predict", content=b" " * 20_001)
    assert answer.status_code == 413 and "20000 bytes" in answer.json()["error"]


def test_a_tensor_that_claims_a_huge_shape(server: Server, written: Path) -> None:
    put(server, written, 1)
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "model"
    request.inputs["images"].CopyFrom(tf.make_tensor_proto(np.float32(1)))
    for size in (1_000_000, 4, 4, 3):
        request.inputs["images"].tensor_shape.dim.add(size=size)
    with grpc.insecure_channel(server.target) as channel, pytest.raises(grpc.RpcError) as caught:
        prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict(request, timeout=30)
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "claims 192000000 bytes" in caught.value.details()


def test_metrics(server: Server, written: Path) -> None:
    put(server, written, 1)

    good = 'tf_spot_serving_requests_total{code="OK",protocol="grpc"}'
    bad = 'tf_spot_serving_requests_total{code="NOT_FOUND",protocol="rest"}'
    rows = "tf_spot_serving_batch_rows_sum"
    before = [counted(server, line) for line in (good, bad, rows)]
    score(server)
    httpx.post(f"{server.model_url}/versions/8:predict", json={"inputs": [1]})
    after = [counted(server, line) for line in (good, bad, rows)]
    assert [new - old for new, old in zip(after, before, strict=True)] == [1, 1, 1]
    assert counted(server, "tf_spot_serving_waiting_requests") == 0


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
@pytest.mark.parametrize("protocol", ["grpc", "rest"])
def test_a_stop_finishes_what_is_under_way(
    written: Path, tmp_path: Path, protocol: str, number: int, code: int
) -> None:
    started = Server(Path(shutil.copytree(written, tmp_path / "model")))
    place = started.target if protocol == "grpc" else started.url
    with Client(place, model="model", protocol=protocol, signature="slow") as client:
        client.predict({"turns": np.array([1], np.int32)})
        asking, answers = start_slow_request(started, client)
        started.process.send_signal(number)
        assert started.process.wait(30) == code
        asking.join()
    started.process.stdout.close()
    assert answers == [[2 * SECOND]]
    with (
        pytest.raises(ServingError, match="UNAVAILABLE"),
        Client(place, model="model", protocol=protocol, retries=0) as client,
    ):
        client.status()
    assert "development" in started.log.read_text()


@pytest.mark.parametrize("protocol", ["rest", "grpc"])
def test_a_port_in_use(protocol: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        other = "grpc" if protocol == "rest" else "rest"
        code = main(["serve", str(tmp_path), f"--{protocol}-port", str(port), f"--{other}-port", "0"])
    assert code == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert f"127.0.0.1:{port}" in error and f"--{protocol}-port" in error


def test_folders_that_are_no_model(written: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["serve", str(tmp_path / "none")]) == 2
    assert "is not a folder" in capsys.readouterr().err
    assert main(["serve", str(written / "1")]) == 2
    assert f"give the folder above it: {written}" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--rest-port=70000", "--label=stable", "--max-queue=0", "--batch-timeout-ms=x"])
def test_options_that_cannot_be(option: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit):
        main(["serve", str(tmp_path), option])
    assert option.split("=")[0] in capsys.readouterr().err


def test_a_missing_extra_is_named(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['uvicorn'] = None\n"
        "from tf_spot.cli import main\n"
        f"sys.exit(main(['serve', {str(tmp_path)!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 2
    assert "pip install tf-spot[serving]" in done.stderr
