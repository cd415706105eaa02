"""The clients' calls over REST: TensorFlow Serving's JSON, sent by httpx."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tf_spot.serving.errors import MessageTooLarge, ServingError, code_of_http, missing_extra

Arrays = dict[str, np.ndarray]
_BYTES = "bytes"
_DTYPES = {"DT_FLOAT": "float32", "DT_DOUBLE": "float64", "DT_HALF": "float16", "DT_STRING": _BYTES, "DT_BOOL": "bool"}


@dataclass
class _Call:
    method: str
    path: str
    body: bytes | None
    read: Callable[[Any], Any]


class RestCalls:
    """Builds, sends and reads the calls about one model; see `Client` for the arguments."""

    needs_metadata = True  # JSON tells neither dtypes nor the name of a single output

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
        self._path = f"{url.rstrip('/')}/v1/models/{model}{which}"
        self._max_bytes = max_message_bytes
        self._http: Any = httpx.AsyncClient() if asynchronous else httpx.Client()

    def predict(self, signature: str, inputs: Arrays, described: dict[str, Any]) -> _Call:
        columns = {name: _plain(array) for name, array in inputs.items()}
        body = json.dumps({"signature_name": signature, "inputs": columns}).encode()
        if len(body) > self._max_bytes:
            told = f"a request of {len(body)} bytes is over max_message_bytes={self._max_bytes}"
            raise MessageTooLarge(f"{told}; lower batch_size, or raise the limit here and there")
        outputs = described["signatures"].get(signature, {}).get("outputs", {})
        return _Call("POST", self._path + ":predict", body, lambda answer: _outputs(answer["outputs"], outputs))

    def status(self) -> _Call:
        return _Call("GET", self._path, None, _status)

    def metadata(self) -> _Call:
        return _Call("GET", self._path + "/metadata", None, _metadata)

    def send(self, call: _Call, timeout: float) -> Any:
        read = _Reading(self._max_bytes, timeout)
        try:
            with self._http.stream(call.method, call.path, content=call.body, timeout=timeout) as answer:
                for part in answer.iter_bytes():
                    read.add(part)
        except self._httpx.HTTPError as error:
            raise _lost(error, self._httpx) from error
        return self._told(call, answer.status_code, bytes(read.content))

    async def send_async(self, call: _Call, timeout: float) -> Any:
        read = _Reading(self._max_bytes, timeout)
        try:
            async with self._http.stream(call.method, call.path, content=call.body, timeout=timeout) as answer:
                async for part in answer.aiter_bytes():
                    read.add(part)
        except self._httpx.HTTPError as error:
            raise _lost(error, self._httpx) from error
        return self._told(call, answer.status_code, bytes(read.content))

    def close(self) -> None:
        self._http.close()

    async def close_async(self) -> None:
        await self._http.aclose()

    def _told(self, call: _Call, status: int, content: bytes) -> Any:
        if status != 200:
            raise _failure(status, content)
        return call.read(json.loads(content))


class _Reading:
    """An answer on its way: neither its size nor its time may pass the limit, however slowly it comes."""

    def __init__(self, max_bytes: int, timeout: float) -> None:
        self.content = bytearray()
        self._max_bytes = max_bytes
        self._end = time.monotonic() + timeout

    def add(self, part: bytes) -> None:
        self.content += part
        if len(self.content) > self._max_bytes:
            told = f"an answer is over max_message_bytes={self._max_bytes}; lower batch_size, or raise the limit"
            raise MessageTooLarge(told)
        if time.monotonic() > self._end:
            raise ServingError("DEADLINE_EXCEEDED", "the answer came too slowly")


def _plain(array: np.ndarray) -> Any:
    return _texts(array.tolist()) if array.dtype == object else array.tolist()


def _texts(value: Any) -> Any:
    if isinstance(value, list):
        return [_texts(one) for one in value]
    return value if isinstance(value, str) else {"b64": base64.b64encode(value).decode()}


def _outputs(values: Any, described: dict[str, Any]) -> Arrays:
    if len(described) == 1:
        values = {next(iter(described)): values}
    return {name: _array(value, described.get(name, {}).get("dtype")) for name, value in values.items()}


def _array(value: Any, dtype: str | None) -> np.ndarray:
    if dtype != _BYTES:
        return np.array(value, dtype=dtype)
    return np.array(_bytes(value), dtype=object)


def _bytes(value: Any) -> Any:
    if isinstance(value, list):
        return [_bytes(one) for one in value]
    return base64.b64decode(value["b64"]) if isinstance(value, dict) else value.encode()


def _status(answer: Any) -> dict[int, dict[str, str]]:
    return {
        int(one["version"]): {
            "state": one["state"],
            "code": one["status"]["error_code"],
            "message": one["status"]["error_message"],
        }
        for one in answer["model_version_status"]
    }


def _metadata(answer: Any) -> dict[str, Any]:
    signatures = answer["metadata"]["signature_def"]["signature_def"]
    told = {
        name: {side: {key: _tensor(info) for key, info in one[side].items()} for side in ("inputs", "outputs")}
        for name, one in signatures.items()
    }
    return {"version": int(answer["model_spec"]["version"]), "signatures": told}


def _tensor(info: Any) -> dict[str, Any]:
    shape = info["tensor_shape"]
    dims = None if shape["unknown_rank"] else [int(dim["size"]) for dim in shape["dim"]]
    name = info["dtype"]
    return {
        "dtype": _DTYPES.get(name, name.removeprefix("DT_").lower()),
        "shape": None if dims is None else [None if size < 0 else size for size in dims],
    }


def _failure(status: int, content: bytes) -> ServingError:
    try:
        message = str(json.loads(content)["error"])
    except (ValueError, KeyError, TypeError):
        message = content[:500].decode("utf-8", "replace")
    if status == 413:
        return MessageTooLarge(f"the server refuses the request as too large: {message}")
    return ServingError(code_of_http(status), message)


def _lost(error: Exception, httpx: Any) -> ServingError:
    told = f"{type(error).__name__}: {error}"
    return ServingError("DEADLINE_EXCEEDED" if isinstance(error, httpx.TimeoutException) else "UNAVAILABLE", told)
