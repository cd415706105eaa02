"""`tf-spot serve`: a local server for development that speaks TensorFlow Serving's protocol."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from tf_spot.commands.shared_options import INTERRUPTED, TERMINATED, Subcommands, add_subcommand

if TYPE_CHECKING:
    from tf_spot.serving.server import Listening

Number = TypeVar("Number", int, float)


def add(subcommands: Subcommands) -> None:
    parser = add_subcommand(subcommands, "serve", run, "serve an exported SavedModel on this machine, for development")
    parser.add_argument("artifact", metavar="ARTIFACT", type=Path, help="folder with VERSION/saved_model.pb below")
    parser.add_argument("--name", help="the model's name in requests; default: the folder's")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on; default: %(default)s")
    numbers = (
        ("--rest-port", _port, 8501, "0: any free"),
        ("--grpc-port", _port, 8500, "0: any free"),
        ("--max-batch-size", _positive, 32, "rows run at once"),
        ("--batch-timeout-ms", _not_negative, 5.0, "how long the first request of a batch waits for others"),
        ("--max-queue", _positive, 256, "requests that may wait"),
        ("--max-message-bytes", _positive, 64 * 2**20, "size limit of a request"),
        ("--poll-seconds", _seconds, 2.0, "time between looks for new versions"),
    )
    for option, kind, default, says in numbers:
        parser.add_argument(option, metavar="N", type=kind, default=default, help=f"{says}; default: %(default)s")
    parser.add_argument(
        "--label", metavar="LABEL=VERSION", type=_label, action="append", default=[], help="a name for a version"
    )


def run(options: argparse.Namespace) -> tuple[dict[str, Any], int]:
    """Serve until a signal; return where the server listened and the exit code."""
    # Before TensorFlow is loaded. The pool that it keeps for oneDNN grows by doubling and is never given back: a few
    # large photos would cost a gigabyte for good.
    os.environ.setdefault("TF_ONEDNN_USE_SYSTEM_ALLOCATOR", "1")
    from tf_spot.serving.errors import missing_extra

    try:
        from tf_spot.serving.server import ServerOptions, serve
    except ModuleNotFoundError as error:
        raise missing_extra(error) from error

    logging.getLogger("tf_spot.serving").setLevel(logging.DEBUG if options.debug else logging.INFO)
    # The options have the names of the fields; labels are pairs, which argparse collects in a list.
    names = ServerOptions.__dataclass_fields__.keys() - {"labels"}
    chosen = {name: getattr(options, name) for name in names}
    addresses: dict[str, Any] = {}

    def on_start(listening: Listening) -> None:
        addresses.update(asdict(listening))
        print("tf-spot: a local server for development; in production run TensorFlow Serving", file=sys.stderr)
        print(f"REST  {listening.rest_url}/v1/models/{listening.name}")
        print(f"gRPC  {listening.grpc_target}")
        # Flushed, as whoever started this process may wait for the last line.
        print(f"versions  {', '.join(map(str, listening.versions)) or 'none yet'}", flush=True)

    signal_number = serve(ServerOptions(labels=dict(options.label), **chosen), on_start)
    return addresses, TERMINATED if signal_number == signal.SIGTERM else INTERRUPTED


def _port(text: str) -> int:
    return _number(text, int, 0, 65535)


def _positive(text: str) -> int:
    return _number(text, int, 1)


def _not_negative(text: str) -> float:
    return _number(text, float, 0)


def _seconds(text: str) -> float:
    return _number(text, float, 0.01)


def _number(text: str, number_type: Callable[[str], Number], minimum: float, maximum: float = float("inf")) -> Number:
    try:
        value = number_type(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"must be a number, received {text!r}") from error
    if not minimum <= value <= maximum:
        allowed = f"from {minimum} to {maximum}" if maximum < float("inf") else f"{minimum} or more"
        raise argparse.ArgumentTypeError(f"must be {allowed}, received {text}")
    return value


def _label(text: str) -> tuple[str, int]:
    label, _, version = text.partition("=")
    if not label or not version.isdecimal():
        raise argparse.ArgumentTypeError(f"must be LABEL=VERSION such as stable=1, received {text!r}")
    return label, int(version)
