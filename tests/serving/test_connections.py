"""Connections over REST: idle ones are closed, there are not too many, and errors of the loop are one line."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tf_spot.serving import connections
from tf_spot.serving.connections import Connection, OneLineErrors, max_connections


class Impatient(Connection):
    idle_seconds = 0.2


async def slow(request: Request) -> Response:
    await asyncio.sleep(0.6)
    return Response(b"done")


class InThread(uvicorn.Server):
    def install_signal_handlers(self) -> None:
        pass

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield  # signals belong to the main thread


async def large(request: Request) -> Response:
    return Response(bytes(50 * 2**20))


@contextmanager
def listening(answer: Callable[[Request], Awaitable[Response]]) -> Iterator[int]:
    app = Starlette(routes=[Route("/", answer)])
    server = InThread(uvicorn.Config(app, http=Impatient, log_level="error", lifespan="off"))
    with socket.create_server(("127.0.0.1", 0)) as place:
        thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[place])))
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield place.getsockname()[1]
        server.should_exit = True
        thread.join()


@pytest.fixture
def port() -> Iterator[int]:
    with listening(slow) as found:
        yield found


@pytest.fixture
def large_port() -> Iterator[int]:
    with listening(large) as found:
        yield found


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nHost: x\r\n", b"GET / HT"])
def test_a_connection_without_a_whole_request_is_closed(port: int, sent: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(sent)
        assert connection.recv(1000) == b""


def test_a_request_under_way_is_answered(port: int) -> None:
    assert httpx.get(f"http://127.0.0.1:{port}/", timeout=20).text == "done"


def test_a_client_that_reads_no_answer_is_cut_off(large_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "_SHORTEST_WAIT", 0.1)
    with socket.create_connection(("127.0.0.1", large_port), timeout=20) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        time.sleep(3)  # idle for a while, and looked at twice
        received = 0
        with suppress(ConnectionResetError):
            while content := connection.recv(2**20):
                received += len(content)
        assert received < 50 * 2**20  # what the system had buffered


def test_connections_are_counted(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MAX_CONNECTIONS", 2)
    monkeypatch.setattr(Impatient, "idle_seconds", 20.0)
    with ExitStack() as stack:
        opened = [stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=20)) for _ in range(3)]
        with suppress(ConnectionResetError):
            assert opened[2].recv(1) == b""
        opened[0].settimeout(0.2)
        with pytest.raises(TimeoutError):  # still open
            opened[0].recv(1)


def test_half_of_the_descriptors_stay_free(monkeypatch: pytest.MonkeyPatch) -> None:
    for limit, expected in ((100, 50), (10**6, connections.MAX_CONNECTIONS), (-1, connections.MAX_CONNECTIONS)):
        monkeypatch.setattr(connections.resource, "getrlimit", lambda kind, limit=limit: (limit, limit))
        assert max_connections() == expected


def test_exhausted_descriptors_are_one_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    handle = OneLineErrors()
    for _ in range(1000):
        handle(
            None,
            {"message": "accept() out of system resource", "exception": OSError(errno.EMFILE, "Too many open files")},
        )
    (record,) = caplog.records
    assert "Too many open files; see ulimit -n" in record.getMessage() and record.exc_info is None


def test_other_errors_of_the_loop_have_their_trace_in_debug_mode_only(caplog: pytest.LogCaptureFixture) -> None:
    handle = OneLineErrors()
    handle(None, {"message": "x", "exception": ValueError("a\nb")})
    handle(None, {"message": "no exception"})
    assert [record.getMessage() for record in caplog.records] == [
        "the event loop failed: ValueError: a b",
        "no exception",
    ]
    assert not any(record.exc_info for record in caplog.records)
    with caplog.at_level(logging.DEBUG, "tf_spot.serving.connections"):
        handle(None, {"message": "x", "exception": ValueError("a")})
    assert caplog.records[-1].exc_info
