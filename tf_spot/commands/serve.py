"""`tf-spot serve`: a local server for development, with TensorFlow Serving's protocol."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tf_spot.commands.shared_options import INTERRUPTED, TERMINATED, verb

if TYPE_CHECKING:
    from tf_spot.serving.server import Listening


def add(verbs: Any) -> None:
    parser = verb(verbs, "serve", run, "serve an exported SavedModel on this machine, for development")
    parser.add_argument("artifact", metavar="ARTIFACT", type=Path, help="folder with VERSION/saved_model.pb below")
    parser.add_argument("--name", help="the model's name in requests; default: the folder's")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on; default: %(default)s")
    parser.add_argument("--rest-port", metavar="N", type=_port, default=8501, help="0: any free; default: %(default)s")
    parser.add_argument("--grpc-port", metavar="N", type=_port, default=8500, help="0: any free; default: %(default)s")
    parser.add_argument("--max-batch-size", metavar="N", type=_positive, default=32, help="rows run at once")
    parser.add_argument("--batch-timeout-ms", metavar="N", type=_not_negative, default=5.0, help="wait for a batch")
    parser.add_argument("--max-queue", metavar="N", type=_positive, default=256, help="requests that may wait")
    parser.add_argument("--max-message-bytes", metavar="N", type=_positive, default=64 * 2**20, help="of a request")
    parser.add_argument("--poll-seconds", metavar="N", type=_seconds, default=2.0, help="between looks for versions")
    parser.add_argument(
        "--label", metavar="LABEL=VERSION", type=_label, action="append", default=[], help="a name for a version"
    )


def run(options: argparse.Namespace) -> tuple[dict[str, Any], int]:
    from tf_spot.serving.errors import missing_extra

    try:
        from tf_spot.serving.server import ServerOptions, serve
    except ModuleNotFoundError as error:
        raise missing_extra(error) from error

    logging.getLogger("tf_spot.serving").setLevel(logging.INFO)
    names = ServerOptions.__dataclass_fields__.keys() - {"labels"}
    chosen = {name: getattr(options, name) for name in names}
    told: dict[str, Any] = {}

    def on_start(listening: Listening) -> None:
        told.update(asdict(listening))
        print("tf-spot: a local server for development; in production run TensorFlow Serving", file=sys.stderr)
        print(f"REST  {listening.rest_url}/v1/models/{listening.name}")
        print(f"gRPC  {listening.grpc_target}")
        print(f"versions  {', '.join(map(str, listening.versions)) or 'none yet'}", flush=True)

    number = serve(ServerOptions(labels=dict(options.label), **chosen), on_start)
    return told, TERMINATED if number == signal.SIGTERM else INTERRUPTED


def _port(text: str) -> int:
    return _number(text, int, 0, 65535)


def _positive(text: str) -> int:
    return _number(text, int, 1)


def _not_negative(text: str) -> float:
    return _number(text, float, 0)


def _seconds(text: str) -> float:
    return _number(text, float, 0.01)


def _number(text: str, kind: Any, least: float, most: float = float("inf")) -> Any:
    try:
        value = kind(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"must be a number, received {text!r}") from error
    if not least <= value <= most:
        allowed = f"from {least} to {most}" if most < float("inf") else f"{least} or more"
        raise argparse.ArgumentTypeError(f"must be {allowed}, received {text}")
    return value


def _label(text: str) -> tuple[str, int]:
    label, _, version = text.partition("=")
    if not label or not version.isdecimal():
        raise argparse.ArgumentTypeError(f"must be LABEL=VERSION such as stable=1, received {text!r}")
    return label, int(version)
