"""A local server for development that speaks TensorFlow Serving's protocol over REST and gRPC.

It is for trying a model and testing clients; in production run TensorFlow Serving itself on the same files.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import uvicorn
from starlette.applications import Starlette

from tf_spot.errors import UserError
from tf_spot.serving.batching import Batcher
from tf_spot.serving.connections import Connection, OneLineErrors
from tf_spot.serving.grpc_services import add_services
from tf_spot.serving.memory_budget import MemoryBudget
from tf_spot.serving.metrics import Metrics
from tf_spot.serving.rest import rest_app
from tf_spot.serving.versions import ServedModel

log = logging.getLogger(__name__)

STOP_SECONDS = 30.0  # that running requests may take after a signal to stop
BUDGET_MESSAGES = 4  # messages of the greatest size that all requests together may hold
GRPC_IDLE_SECONDS, GRPC_HANDSHAKE_SECONDS = 60, 10  # after which a connection is closed


@dataclass
class ServerOptions:
    """Where the server listens and its limits; a port of 0 means any free one."""

    artifact: Path
    name: str | None = None
    host: str = "127.0.0.1"
    rest_port: int = 8501
    grpc_port: int = 8500
    max_batch_size: int = 32  # rows
    batch_timeout_ms: float = 5.0
    max_queue: int = 256  # requests
    max_message_bytes: int = 64 * 2**20
    poll_seconds: float = 2.0
    labels: dict[str, int] = field(default_factory=dict)


@dataclass
class Listening:
    """Where a started server listens."""

    name: str
    versions: list[int]
    rest_url: str
    grpc_target: str


# --- running ----------------------------------------------------------------------------------------------------------


def serve(options: ServerOptions, on_start: Callable[[Listening], None]) -> int:
    """Serve until SIGTERM or Ctrl-C, then finish the running requests.

    Args:
        options: see `ServerOptions`.
        on_start: called once both ports answer.

    Returns:
        The number of the signal that ended it.

    Raises:
        UserError: the folder has no model, or a port is in use.
    """
    return asyncio.run(_serve(options, on_start))


async def _serve(options: ServerOptions, on_start: Callable[[Listening], None]) -> int:
    model = ServedModel(options.artifact, name=options.name, labels=options.labels)
    metrics = Metrics()
    batcher = Batcher(
        max_batch_size=options.max_batch_size,
        batch_timeout=options.batch_timeout_ms / 1000,
        max_queue=options.max_queue,
        metrics=metrics,
    )
    budget = MemoryBudget(BUDGET_MESSAGES * options.max_message_bytes)
    asyncio.get_running_loop().set_exception_handler(OneLineErrors())
    with _rest_socket(options.host, options.rest_port) as rest_socket:
        grpc_server, grpc_port = _grpc_server(options)
        add_services(grpc_server, model, batcher, metrics, budget, options.max_message_bytes)
        stopped = _stop_signal()  # before the first version is loaded, which can take long
        await model.poll()
        await grpc_server.start()
        rest = _rest_server(rest_app(model, batcher, metrics, budget, options.max_message_bytes))
        rest_task = asyncio.create_task(rest.serve(sockets=[rest_socket]))
        polling = asyncio.create_task(_poll(model, options.poll_seconds))
        while not rest.started:
            await asyncio.sleep(0.01)
        host, rest_port = _url_host(options.host), rest_socket.getsockname()[1]
        on_start(Listening(model.name, model.available, f"http://{host}:{rest_port}", f"{host}:{grpc_port}"))
        number = await stopped
        # No new version, no new request; the running ones are finished.
        polling.cancel()
        rest.should_exit = True
        await asyncio.gather(grpc_server.stop(STOP_SECONDS), rest_task)
        batcher.close()
        return number


def _stop_signal() -> asyncio.Future[int]:
    """Return a future for the number of the first signal to stop."""
    loop = asyncio.get_running_loop()
    stopped: asyncio.Future[int] = loop.create_future()

    def stop(number: int) -> None:
        if not stopped.done():
            stopped.set_result(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop, number)
    return stopped


async def _poll(model: ServedModel, seconds: float) -> None:
    while True:
        await asyncio.sleep(seconds)
        try:
            await model.poll()
        except OSError as error:  # the folder is away, or changed while it was read: the next poll tries again
            log.warning("%s cannot be read: %s", model.folder, error)


# --- listening --------------------------------------------------------------------------------------------------------


class _RestServer(uvicorn.Server):
    """Leave the signals to `_stop_signal`: they stop gRPC too."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


def _rest_server(app: Starlette) -> _RestServer:
    return _RestServer(
        uvicorn.Config(
            app,
            http=Connection,
            log_level="warning",
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=int(STOP_SECONDS),
        )
    )


def _rest_socket(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=1024)
    except OSError as error:
        raise _no_port("REST", host, port, error) from error


def _grpc_server(options: ServerOptions) -> tuple[grpc.aio.Server, int]:
    limits = [
        ("grpc.max_receive_message_length", options.max_message_bytes),
        ("grpc.max_send_message_length", options.max_message_bytes),
        ("grpc.max_connection_idle_ms", GRPC_IDLE_SECONDS * 1000),
        ("grpc.server_handshake_timeout_ms", GRPC_HANDSHAKE_SECONDS * 1000),
        ("grpc.so_reuseport", 0),  # else a second server on the same port starts, and takes half of the calls
    ]
    server = grpc.aio.server(options=limits)
    try:
        return server, server.add_insecure_port(f"{_url_host(options.host)}:{options.grpc_port}")
    except RuntimeError as error:
        raise _no_port("gRPC", options.host, options.grpc_port, error) from error


def _url_host(host: str) -> str:
    """Return the host as it stands in a URL: IPv6 addresses in brackets."""
    return f"[{host}]" if ":" in host else host


def _no_port(protocol: str, host: str, port: int, error: Exception) -> UserError:
    reason = getattr(error, "strerror", None) or "it may be in use"
    option = f"--{protocol.lower()}-port"
    return UserError(f"cannot listen for {protocol} on {host}:{port}: {reason}; choose another {option}, or 0 for any")
