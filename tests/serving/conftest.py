"""Servers that tests share: one process of `tf-spot serve`, and one that fails as wanted."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.flaky_server import Flaky
from tests.support.serving_models import write_version
from tests.support.serving_process import Server, status, wait_for


@pytest.fixture(scope="package")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Versions 1 and 2, to be copied."""
    folder = tmp_path_factory.mktemp("written")
    for version in (1, 2):
        write_version(folder, version)
    return folder


@pytest.fixture(scope="package")
def started_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Starting it takes seconds; tests take the fixture `server`."""
    folder = tmp_path_factory.mktemp("models") / "model"
    folder.mkdir()
    limits = ("--max-queue", "4", "--max-batch-size", "4", "--max-message-bytes", "20000", "--batch-timeout-ms", "1")
    server = Server(folder, "--poll-seconds", "0.05", *limits)
    yield server
    server.stop()


@pytest.fixture
def server(started_server: Server) -> Iterator[Server]:
    """A server without versions, and with low limits."""
    yield started_server
    for version in started_server.folder.iterdir():
        shutil.rmtree(version)
    wait_for(lambda: status(started_server) == {})


@pytest.fixture
def flaky() -> Iterator[Flaky]:
    server = Flaky()
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()
