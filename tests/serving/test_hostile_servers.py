"""Clients of servers that answer with anything at all: always a `ServingError`, always in time."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2

from tests.support.flaky_server import METADATA
from tf_spot.serving import AsyncClient, Client, MessageTooLarge, ServingError

IMAGES = np.zeros((4, 2, 2, 3), np.float32)


def http(body: bytes, status: str = "200 OK", headers: str = "") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{headers}\r\n".encode() + body


class RawServer:
    """Sends the same bytes in answer to any request over a socket; `endless` ones again and again."""

    def __init__(self) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        self.answer, self.endless = b"", b""
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self.socket.accept()
                threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with suppress(OSError), connection:
            connection.recv(65536)
            connection.sendall(self.answer)
            while self.endless:
                connection.sendall(self.endless)
                time.sleep(0.02)


@pytest.fixture
def raw() -> Iterator[RawServer]:
    server = RawServer()
    yield server
    server.endless = b""
    server.socket.close()


def call(kind: type, url: str, method: str, **options: Any) -> Any:
    options = {"model": "m", "protocol": "rest", "retries": 0} | options
    arguments = [IMAGES] if method == "predict" else []
    if kind is Client:
        with Client(url, **options) as client:
            return getattr(client, method)(*arguments)

    async def asynchronous() -> Any:
        async with AsyncClient(url, **options) as client:
            return await getattr(client, method)(*arguments)

    return asyncio.run(asynchronous())


ANSWERS = {
    "nothing": b"",
    "no HTTP": b"hello\r\n\r\n",
    "no JSON": http(b"hello"),
    "a list": http(b"[]"),
    "a number": http(b"1"),
    "no names": http(b"{}"),
    "deep": http(b"[" * 100_000),
    "binary": http(b"\xff\xfe\x00"),
    "NaN version": http(b'{"model_version_status": [{"version": "x", "state": 1, "status": {}}]}'),
    "cut short": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{",
    "compressed": http(b"x", headers="Content-Encoding: gzip\r\n"),
    "an error that is no object": http(b'[{"a": 1}]', "500 Oh"),
    "redirect": http(b"", "302 Found", "Location: http://127.0.0.1:1/\r\n"),
    "odd status": b"HTTP/1.1 999 x\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}",
    "many empty lists": http(b'{"model_version_status": [' + b"[]," * 50_000 + b"[]]}"),
}


@pytest.mark.parametrize("method", ["status", "metadata", "predict"])
@pytest.mark.parametrize("kind", [Client, AsyncClient])
@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS.keys())
def test_whatever_rest_answers_is_a_serving_error(raw: RawServer, answer: bytes, kind: type, method: str) -> None:
    raw.answer = answer
    with pytest.raises(ServingError):
        call(kind, raw.url, method, timeout=5)


@pytest.mark.parametrize(
    "outputs",
    [
        "[1]",
        "[[1], [1, 2]]",
        '["a", "b", "c", "d"]',
        "null",
        '{"other": {"b64": 1}}',
        '{"b64": "?"}',
    ],
)
def test_predictions_that_do_not_fit_the_metadata(raw: RawServer, outputs: str) -> None:
    raw.answer = http(f'{{"outputs": {outputs}}}'.encode())
    with Client(raw.url, model="m", protocol="rest", batch_size=3) as client:
        score = {"dtype": "float32", "shape": [None, 2]}
        client._metadata = {"version": 1, "signatures": {"serving_default": {"inputs": {}, "outputs": {"s": score}}}}
        if outputs == "[1]":  # a row too few in each batch is for the caller to see
            assert client.predict(IMAGES)["s"].tolist() == [1, 1]
            return
        with pytest.raises(ServingError):
            client.predict(IMAGES)


@pytest.mark.parametrize("kind", [Client, AsyncClient])
@pytest.mark.parametrize(
    ("answer", "endless"),
    [
        (b"", b"H"),
        (b"HTTP/1.1 200 OK\r\n", b"X-More: 1\r\n"),
        (b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
        (b"HTTP/1.1 200 OK\r\n\r\n", b" "),
    ],
)
def test_no_rest_call_outlasts_its_deadline(raw: RawServer, kind: type, answer: bytes, endless: bytes) -> None:
    raw.answer, raw.endless = answer, endless
    started = time.monotonic()
    with pytest.raises(ServingError):
        call(kind, raw.url, "status", timeout=0.4)
    assert time.monotonic() - started < 3  # a busy machine


def test_the_blocking_client_works_inside_a_running_loop(raw: RawServer) -> None:
    raw.answer = http(json.dumps(METADATA).encode())

    async def notebook() -> Any:
        return call(Client, raw.url, "metadata")

    assert asyncio.run(notebook())["version"] == 1


# --- gRPC -------------------------------------------------------------------------------------------------------------


class GrpcServer:
    """Answers every call with the same bytes, after a while."""

    def __init__(self) -> None:
        self.answer, self.delay = b"", 0.0
        self.server = grpc.server(ThreadPoolExecutor(4))
        self.server.add_generic_rpc_handlers((self,))
        self.target = f"127.0.0.1:{self.server.add_insecure_port('127.0.0.1:0')}"
        self.server.start()

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        return grpc.unary_unary_rpc_method_handler(self._reply)

    def _reply(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        time.sleep(self.delay)
        return self.answer


@pytest.fixture
def grpc_server() -> Iterator[GrpcServer]:
    server = GrpcServer()
    yield server
    server.server.stop(None)


@pytest.mark.parametrize("method", ["status", "metadata", "predict"])
@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_whatever_grpc_answers_is_a_serving_error(grpc_server: GrpcServer, kind: type, method: str) -> None:
    claims = tf.make_tensor_proto(1.0)
    claims.tensor_shape.dim.add(size=2**40)
    odd = predict_pb2.PredictResponse(outputs={"s": claims}).SerializeToString()
    unknown_state = b"\x0a\x02\x10\x63"
    for answer in (b"\xff" * 20, b"\x0a\x7f", {"status": unknown_state, "predict": odd}.get(method, b"\xff")):
        grpc_server.answer = answer
        with pytest.raises(ServingError):
            found = call(kind, grpc_server.target, method, protocol="grpc", timeout=10)
            raise AssertionError(found)
    with pytest.raises(MessageTooLarge, match="claims"):
        grpc_server.answer = odd
        call(kind, grpc_server.target, "predict", protocol="grpc", timeout=10)


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_no_grpc_call_outlasts_its_deadline(grpc_server: GrpcServer, kind: type) -> None:
    grpc_server.delay = 2.0
    started = time.monotonic()
    with pytest.raises(ServingError, match="DEADLINE_EXCEEDED"):
        call(kind, grpc_server.target, "status", protocol="grpc", timeout=0.3)
    assert time.monotonic() - started < 1.8
