"""A server over REST that fails as a test wants it to."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np

from tf_spot.serving import AsyncClient, Client

IMAGES = np.zeros((4, 2, 2, 3), np.float32)
SCORE = {"dtype": "DT_FLOAT", "tensor_shape": {"unknown_rank": False, "dim": [{"size": "-1"}]}, "name": "s:0"}
METADATA = {
    "model_spec": {"name": "m", "version": "1"},
    "metadata": {"signature_def": {"signature_def": {"serving_default": {"inputs": {}, "outputs": {"score": SCORE}}}}},
}


class Flaky(ThreadingHTTPServer):
    """Answers predict requests with the given statuses, then with zeros; keeps the requests."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.statuses: list[int] = []
        self.asked: list[Any] = []
        self.times: list[float] = []
        self.delay = 0.0
        self.trickle = False
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Flaky

    def do_GET(self) -> None:
        self._answer(200, METADATA)

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append(asked)
        self.server.times.append(time.monotonic())
        time.sleep(self.server.delay)
        if self.server.trickle:
            self._trickle()
            return
        status = self.server.statuses.pop(0) if self.server.statuses else 200
        rows = len(asked["inputs"]["images"])
        self._answer(status, {"outputs": [0.0] * rows} if status == 200 else {"error": f"status {status}"})

    def _answer(self, status: int, answer: Any) -> None:
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _trickle(self) -> None:
        """A space each 20 ms: never silent for long, and never done."""
        self.send_response(200)
        self.end_headers()
        with suppress(OSError):  # until the client hangs up
            while True:
                self.wfile.write(b" ")
                time.sleep(0.02)

    def log_message(self, *arguments: Any) -> None:
        pass


def predict(kind: type, url: str, **options: Any) -> Any:
    """Predict `IMAGES` with either client."""
    options = {"model": "m", "protocol": "rest"} | options
    if kind is Client:
        with Client(url, **options) as client:
            return client.predict(IMAGES)

    async def call() -> Any:
        async with AsyncClient(url, **options) as client:
            return await client.predict(IMAGES)

    return asyncio.run(call())
