"""The clients' calls over REST: TensorFlow Serving's JSON, sent by httpx."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from functools import partial
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from tf_spot.serving.errors import MessageTooLarge, ServingError, code_of_http, missing_extra
from tf_spot.serving.json_pieces import read_json
from tf_spot.serving.messages import (
    Answer,
    Arrays,
    Call,
    Metadata,
    TensorInfo,
    VersionStatus,
    refuse_large_request,
)

JsonObject = dict[str, Any]
Nested = str | bytes | float | list["Nested"] | JsonObject | np.ndarray  # the value of a tensor in JSON

_SHORT = 64 * 1024  # bytes of an answer that is read in a few milliseconds
_MAX_VALUES = 64 * 2**20  # of an answer; max_message_bytes is the tighter limit unless it was raised

_BYTES = "bytes"
_DTYPES = {"DT_FLOAT": "float32", "DT_DOUBLE": "float64", "DT_HALF": "float16", "DT_STRING": _BYTES, "DT_BOOL": "bool"}


class RestRequest(NamedTuple):
    """An HTTP request."""

    method: str
    url: str
    body: bytes | None = None


class RestCalls:
    """Build, send and read the calls about one model; see `Client` for the arguments."""

    needs_metadata = True  # JSON has no dtypes, and leaves out the name of a single output

    def __init__(
        self,
        url: str,
        model: str,
        version: int | None,
        label: str | None,
        *,
        max_message_bytes: int,
        asynchronous: bool,
    ) -> None:
        try:
            import httpx
        except ModuleNotFoundError as error:
            raise missing_extra(error) from error
        self._httpx = httpx
        which = f"/versions/{version}" if version is not None else f"/labels/{label}" if label is not None else ""
        self._url = f"{url.rstrip('/')}/v1/models/{model}{which}"
        self._max_bytes = max_message_bytes
        # One client of httpx for both: only a coroutine can be stopped at any moment, such as inside the headers.
        self._http: Any = httpx.AsyncClient(headers={"Accept-Encoding": "identity"})
        self._loop = None if asynchronous else _Loop()

    def predict(self, signature: str, inputs: Arrays, metadata: Metadata | None) -> Call[RestRequest, Arrays]:
        """Return a call of :predict, in columns.

        Args:
            signature: name.
            inputs: (batch, ...) by name.
            metadata: has the names and dtypes of the outputs.

        Raises:
            MessageTooLarge: the request is over the limit.
        """
        # Columns rather than rows, which would repeat every name in each row.
        columns = {name: _to_json(array) for name, array in inputs.items()}
        body = json.dumps({"signature_name": signature, "inputs": columns}).encode()
        refuse_large_request(len(body), self._max_bytes)
        signatures = metadata["signatures"] if metadata else {}
        outputs = signatures[signature]["outputs"] if signature in signatures else {}
        return Call(
            RestRequest("POST", self._url + ":predict", body), lambda answer: _outputs(answer["outputs"], outputs)
        )

    def status(self) -> Call[RestRequest, dict[int, VersionStatus]]:
        """Return a call for the status of versions."""
        return Call(RestRequest("GET", self._url), _status)

    def metadata(self) -> Call[RestRequest, Metadata]:
        """Return a call for the metadata."""
        return Call(RestRequest("GET", self._url + "/metadata"), _metadata)

    def send(self, call: Call[RestRequest, Answer], timeout: float) -> Answer:
        """Send a call once and return its answer.

        Raises:
            ServingError: it failed, or took longer than `timeout` seconds.
        """
        if self._loop is None:
            raise RuntimeError("these calls belong to AsyncClient")
        return self._loop.run(self.send_async(call, timeout))

    async def send_async(self, call: Call[RestRequest, Answer], timeout: float) -> Answer:
        """See `send`."""
        try:
            async with asyncio.timeout(timeout):
                return await self._exchange(call, timeout)
        except TimeoutError as error:
            raise ServingError(
                "DEADLINE_EXCEEDED", f"the answer came too slowly: not all of it within {timeout:.3g} seconds"
            ) from error
        except self._httpx.HTTPError as error:
            raise _no_response(error, self._httpx) from error

    async def _exchange(self, call: Call[RestRequest, Answer], timeout: float) -> Answer:
        method, url, content = call.request
        body = bytearray()
        async with self._http.stream(method, url, content=content, timeout=timeout) as response:
            if response.headers.get("content-encoding", "identity") != "identity":
                raise ServingError("INTERNAL", "the answer is compressed, which was not asked for")
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) > self._max_bytes:
                    raise MessageTooLarge(
                        f"an answer is over max_message_bytes={self._max_bytes}; lower batch_size, or raise the limit"
                    )
        # A long answer is read in a thread, so that the deadline passes meanwhile.
        if len(body) < _SHORT:
            return _read(call, response.status_code, body)
        return await asyncio.to_thread(partial(_read, call, response.status_code, body))

    def close(self) -> None:
        """Close the connections."""
        if self._loop is not None:
            self._loop.run(self._http.aclose())
            self._loop.stop()

    async def close_async(self) -> None:
        """Close the connections of asyncio."""
        await self._http.aclose()


class _Loop:
    """An event loop in a thread of its own: a blocking call may be made where another loop runs, as in a notebook."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="tf_spot-rest-client", daemon=True)
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, Answer]) -> Answer:
        """Return the result of a coroutine."""
        if self._loop.is_closed():
            coroutine.close()
            raise RuntimeError("the client is closed")
        future: Future[Answer] = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            return future.result()
        except BaseException:  # Ctrl-C: the call is given up
            future.cancel()
            raise

    def stop(self) -> None:
        """Stop the loop and its thread."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()


# --- responses --------------------------------------------------------------------------------------------------------


def _read(call: Call[RestRequest, Answer], status: int, content: bytearray) -> Answer:
    if status != 200:
        raise _failure(status, content)
    return call.read(read_json(content, _MAX_VALUES))


def _failure(status: int, content: bytearray) -> ServingError:
    try:
        answer: Any = read_json(content, _MAX_VALUES)
        message = str(answer["error"])
    except (ValueError, KeyError, TypeError, IndexError):  # a proxy answered, not the server
        message = content[:500].decode("utf-8", "replace")
    if status == 413:
        return MessageTooLarge(f"the server refuses the request as too large: {message}")
    return ServingError(code_of_http(status), message)


def _no_response(error: Exception, httpx: ModuleType) -> ServingError:
    # Without an answer the server is away: it may be starting, so the call is tried again.
    code = "DEADLINE_EXCEEDED" if isinstance(error, httpx.TimeoutException) else "UNAVAILABLE"
    return ServingError(code, f"{type(error).__name__}: {error}")


def _status(answer: JsonObject) -> dict[int, VersionStatus]:
    return {
        int(one["version"]): {
            "state": one["state"],
            "code": one["status"]["error_code"],
            "message": one["status"]["error_message"],
        }
        for one in answer["model_version_status"]
    }


def _metadata(answer: JsonObject) -> Metadata:
    signatures = answer["metadata"]["signature_def"]["signature_def"]
    return {
        "version": int(answer["model_spec"]["version"]),
        "signatures": {
            name: {
                "inputs": {key: _tensor_info(info) for key, info in one["inputs"].items()},
                "outputs": {key: _tensor_info(info) for key, info in one["outputs"].items()},
            }
            for name, one in signatures.items()
        },
    }


def _tensor_info(info: JsonObject) -> TensorInfo:
    shape = info["tensor_shape"]
    sizes = None if shape["unknown_rank"] else [int(dim["size"]) for dim in shape["dim"]]
    name = info["dtype"]
    return {
        "dtype": _DTYPES.get(name, name.removeprefix("DT_").lower()),
        "shape": None if sizes is None else [None if size < 0 else size for size in sizes],  # -1: any
    }


# --- tensors ----------------------------------------------------------------------------------------------------------


def _to_json(array: np.ndarray) -> Nested:
    return _encode(array.tolist()) if array.dtype == object else array.tolist()


def _encode(value: Nested) -> Nested:
    """Return bytes, in lists of any depth, as {"b64": ...}."""
    if isinstance(value, list):
        return [_encode(one) for one in value]
    return {"b64": base64.b64encode(value).decode()} if isinstance(value, bytes) else value


def _outputs(values: Nested, known: dict[str, TensorInfo]) -> Arrays:
    """Return the arrays of an answer in columns, (batch, ...) by name."""
    # The server leaves out the name of a single output.
    columns = {next(iter(known)): values} if len(known) == 1 else values
    if not isinstance(columns, dict):
        raise ServingError("INTERNAL", "the answer has no names of outputs")
    return {name: _array(value, known[name]["dtype"] if name in known else None) for name, value in columns.items()}


def _array(value: Nested, dtype: str | None) -> np.ndarray:
    if dtype is None and not isinstance(value, np.ndarray | int | float):
        dtype = "object"  # NumPy's arrays of strings could be far larger than they are
    if dtype != _BYTES:
        return np.array(value, dtype=dtype)
    return np.array(_decode(value), dtype=object)


def _decode(value: Nested) -> Nested:
    """Return strings, in lists of any depth, as bytes."""
    if isinstance(value, list | np.ndarray):
        return [_decode(one) for one in value]
    return base64.b64decode(value["b64"]) if isinstance(value, dict) else str(value).encode()
