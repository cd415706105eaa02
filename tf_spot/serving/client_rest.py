"""The clients' calls over REST: TensorFlow Serving's JSON, sent by httpx."""

from __future__ import annotations

import base64
import json
import time
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from tf_spot.serving.errors import MessageTooLarge, ServingError, code_of_http, missing_extra
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
Nested = str | bytes | float | list["Nested"] | JsonObject  # the value of a tensor in JSON

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
        self._http: Any = httpx.AsyncClient() if asynchronous else httpx.Client()

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
        body = _Body(self._max_bytes, timeout)
        method, url, content = call.request
        try:
            with self._http.stream(method, url, content=content, timeout=timeout) as response:
                for chunk in response.iter_bytes():
                    body.add(chunk)
        except self._httpx.HTTPError as error:
            raise _no_response(error, self._httpx) from error
        return _read(call, response.status_code, bytes(body.content))

    async def send_async(self, call: Call[RestRequest, Answer], timeout: float) -> Answer:
        """See `send`."""
        body = _Body(self._max_bytes, timeout)
        method, url, content = call.request
        try:
            async with self._http.stream(method, url, content=content, timeout=timeout) as response:
                async for chunk in response.aiter_bytes():
                    body.add(chunk)
        except self._httpx.HTTPError as error:
            raise _no_response(error, self._httpx) from error
        return _read(call, response.status_code, bytes(body.content))

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    async def close_async(self) -> None:
        """Close the connections of asyncio."""
        await self._http.aclose()


# --- responses --------------------------------------------------------------------------------------------------------


class _Body:
    """The body of a response as it arrives, within limits of size and time.

    The timeout of httpx is for each read; a server that sends a byte now and then would pass it forever.
    """

    def __init__(self, max_bytes: int, timeout: float) -> None:
        self.content = bytearray()
        self._max_bytes = max_bytes
        self._end = time.monotonic() + timeout

    def add(self, chunk: bytes) -> None:
        self.content += chunk
        if len(self.content) > self._max_bytes:
            raise MessageTooLarge(
                f"an answer is over max_message_bytes={self._max_bytes}; lower batch_size, or raise the limit"
            )
        if time.monotonic() > self._end:
            raise ServingError("DEADLINE_EXCEEDED", "the answer came too slowly")


def _read(call: Call[RestRequest, Answer], status: int, content: bytes) -> Answer:
    if status != 200:
        raise _failure(status, content)
    return call.read(json.loads(content))


def _failure(status: int, content: bytes) -> ServingError:
    try:
        message = str(json.loads(content)["error"])
    except (ValueError, KeyError, TypeError):  # a proxy answered, not the server
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
    if dtype != _BYTES:
        return np.array(value, dtype=dtype)
    return np.array(_decode(value), dtype=object)


def _decode(value: Nested) -> Nested:
    """Return strings, in lists of any depth, as bytes."""
    if isinstance(value, list):
        return [_decode(one) for one in value]
    return base64.b64decode(value["b64"]) if isinstance(value, dict) else str(value).encode()
