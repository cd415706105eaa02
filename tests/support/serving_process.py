"""`tf-spot serve` as a process of its own, over real sockets, and what tests do with it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import numpy as np

from tf_spot.serving import Client

START_SECONDS = 240.0  # importing TensorFlow on a busy machine
IMAGE = np.zeros((1, 4, 4, 3), np.float32)
SECOND = 60_000  # turns of the signature `slow` that take a good part of a second


class Server:
    """A started server; its stderr is kept in `log`."""

    def __init__(self, folder: Path, *options: str) -> None:
        command = [sys.executable, "-m", "tf_spot", "serve", str(folder), "--rest-port", "0", "--grpc-port", "0"]
        self.folder = folder
        self.log = folder.parent / f"{folder.name}-server.log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen([*command, *options], stdout=subprocess.PIPE, stderr=log, text=True)
        killer = threading.Timer(START_SECONDS, self.process.kill)
        killer.start()
        lines = [self.process.stdout.readline() for _ in range(3)]
        killer.cancel()
        assert lines[2], self.log.read_text()
        self.model_url = lines[0].split()[1]
        self.url = self.model_url.split("/v1/")[0]
        self.target = lines[1].split()[1]

    def stop(self) -> int:
        self.process.terminate()
        code = self.process.wait(30)
        self.process.stdout.close()
        return code


def wait_for(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.02)


def status(server: Server) -> dict[int, str]:
    """{version: state}; without versions that have ended."""
    with Client(server.url, model="model", protocol="rest") as client:
        return {version: one["state"] for version, one in client.status().items() if one["state"] != "END"}


def is_refused(server: Server, version: int) -> bool:
    """Whether the version cannot be loaded. One that is still being written is tried again, so ask until it is true."""
    with Client(server.url, model="model", protocol="rest") as client:
        one = client.status().get(version)
    return one is not None and (one["state"], one["code"]) == ("END", "INVALID_ARGUMENT")


def put(server: Server, written: Path, version: int) -> None:
    """Copy a version into the server's folder and wait until it is served."""
    aside = server.folder / f".aside-{version}"
    shutil.copytree(written / str(version), aside)
    aside.rename(server.folder / str(version))
    wait_for(lambda: status(server).get(version) == "AVAILABLE")


def score(server: Server, protocol: str = "grpc", **options: object) -> float:
    """What the model answers for one black image: the number of its version."""
    address = server.target if protocol == "grpc" else server.url
    with Client(address, model="model", protocol=protocol, retries=0, **options) as client:
        return float(client.predict(IMAGE)["score"][0])


def counted(server: Server, line: str) -> float:
    """The sum of the counters whose lines begin so."""
    text = httpx.get(f"{server.url}/monitoring/prometheus/metrics").text
    return sum(float(one.split()[-1]) for one in text.splitlines() if one.startswith(line))


def start_slow_request(server: Server, client: Client) -> tuple[threading.Thread, list]:
    """Send a request in a thread and return once the model runs; the answer is appended to the list."""
    answers: list = []
    before = counted(server, "tf_spot_serving_batch_rows_count")
    turns = {"turns": np.array([2 * SECOND], np.int32)}
    thread = threading.Thread(target=lambda: answers.append(client.predict(turns)["turns"].tolist()))
    thread.start()
    wait_for(lambda: counted(server, "tf_spot_serving_batch_rows_count") > before)
    return thread, answers
