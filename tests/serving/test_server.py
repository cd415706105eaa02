"""The server as a whole: a bounded queue, size limits, ports, and a graceful stop."""

import asyncio
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from tests.support.serving_process import SECOND, Server, put, score, start_slow_request
from tf_spot.cli import main
from tf_spot.serving import AsyncClient, Client, MessageTooLarge, ServingError


@pytest.mark.parametrize(("protocol", "http"), [("grpc", None), ("rest", 503)])
def test_no_version_is_unavailable(server: Server, protocol: str, http: int | None) -> None:
    with pytest.raises(ServingError, match="no version loaded") as caught:
        score(server, protocol)
    assert caught.value.code == "UNAVAILABLE"
    if http:
        assert httpx.post(f"{server.model_url}:predict", json={"inputs": [1]}).status_code == http


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
