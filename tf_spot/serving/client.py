"""Clients of TensorFlow Serving and of `tf-spot serve`: a blocking one, and one for asyncio.

REST needs httpx alone. gRPC needs the official stubs (tensorflow-serving-api), which import TensorFlow for its tensor
messages.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from tf_spot.errors import UserError
from tf_spot.serving.errors import ServingError
from tf_spot.serving.messages import Answer, Arrays, Call, Metadata, VersionStatus
from tf_spot.serving.retries import Retries

Images = np.ndarray | Sequence[bytes] | Mapping[str, ArrayLike]
Request = TypeVar("Request")


class Calls(Protocol[Request]):
    """What a protocol offers: calls about one model, and sending them."""

    needs_metadata: bool  # to read the response of predict

    def predict(self, signature: str, inputs: Arrays, metadata: Metadata | None) -> Call[Request, Arrays]: ...

    def status(self) -> Call[Request, dict[int, VersionStatus]]: ...

    def metadata(self) -> Call[Request, Metadata]: ...

    def send(self, call: Call[Request, Answer], timeout: float) -> Answer: ...

    async def send_async(self, call: Call[Request, Answer], timeout: float) -> Answer: ...

    def close(self) -> None: ...

    async def close_async(self) -> None: ...


# --- what both clients share ------------------------------------------------------------------------------------------


class _Settings:
    """The settings of both clients, and the work that involves no waiting.

    Args:
        target: "http://host:8501" for REST, "host:8500" for gRPC.
        model: the model's name.
        protocol: "grpc" or "rest".
        version, label: which version is called, at most one of them; by default the server's newest.
        signature: by default `image_bytes` for bytes and `serving_default` for anything else.
        timeout: seconds for a whole call, with all its batches and retries.
        retries: times that one batch is sent again if the server is away or busy.
        batch_size: rows sent in one request.
        max_message_bytes: size limit of one request and of one answer.
    """

    def __init__(
        self,
        target: str,
        *,
        model: str,
        protocol: str = "grpc",
        version: int | None = None,
        label: str | None = None,
        signature: str | None = None,
        timeout: float = 30.0,
        retries: int = 5,
        batch_size: int = 32,
        max_message_bytes: int = 64 * 2**20,
    ) -> None:
        if version is not None and label is not None:
            raise UserError(f"give version or label, not both; received version={version} and label={label!r}")
        if batch_size < 1 or timeout <= 0 or retries < 0:
            received = f"batch_size={batch_size}, timeout={timeout}, retries={retries}"
            raise UserError(f"batch_size must be 1 or more, timeout above 0, retries 0 or more; received {received}")
        self._signature = signature
        self._timeout = timeout
        self._retries = retries
        self._batch_size = batch_size
        asynchronous = isinstance(self, AsyncClient)
        self._calls = _open_calls(protocol, target, model, version, label, max_message_bytes, asynchronous)
        self._metadata: Metadata | None = None  # kept for protocols that need it

    def _requests(self, images: Images) -> tuple[str, list[Arrays]]:
        """Return the signature, and the inputs of each request: at most `batch_size` rows."""
        if isinstance(images, Mapping):
            signature, inputs = "serving_default", {name: _as_array(array) for name, array in images.items()}
        elif isinstance(images, np.ndarray):
            signature, inputs = "serving_default", {"images": _single_precision(images)}
        elif isinstance(images, Sequence) and images and all(isinstance(image, bytes) for image in images):
            # With the None, numpy makes objects of the bytes; its own strings drop zero bytes at the end.
            signature, inputs = "image_bytes", {"image_bytes": np.array([*images, None], dtype=object)[:-1]}
        else:
            raise UserError(f"images must be an array, a list of bytes or a dict of arrays, received {type(images)}")
        lengths = {len(array) if array.ndim else 0 for array in inputs.values()}
        if len(lengths) != 1 or 0 in lengths:
            raise UserError(f"inputs must have the same number of rows, at least one; received {sorted(lengths)}")
        starts = range(0, lengths.pop(), self._batch_size)
        batches = [{name: array[at : at + self._batch_size] for name, array in inputs.items()} for at in starts]
        return self._signature or signature, batches


def _open_calls(
    protocol: str,
    target: str,
    model: str,
    version: int | None,
    label: str | None,
    max_message_bytes: int,
    asynchronous: bool,
) -> Calls[Any]:
    if protocol == "rest":
        from tf_spot.serving.client_rest import RestCalls

        return RestCalls(target, model, version, label, max_message_bytes=max_message_bytes, asynchronous=asynchronous)
    if protocol == "grpc":
        from tf_spot.serving.client_grpc import GrpcCalls

        return GrpcCalls(target, model, version, label, max_message_bytes=max_message_bytes, asynchronous=asynchronous)
    raise UserError(f"protocol must be 'grpc' or 'rest', received {protocol!r}")


# --- the clients ------------------------------------------------------------------------------------------------------


class Client(_Settings):
    """A blocking client. See `AsyncClient` for asyncio.

    A call fails with `ServingError`, whose `code` is a name of `grpc.StatusCode` whatever the protocol and the
    answer: INTERNAL for one that cannot be read. No call takes longer than `timeout`. Only UNAVAILABLE and
    RESOURCE_EXHAUSTED (over REST 503 and 429) are tried again, after a growing, random wait.

    Args: see `_Settings`.

    Raises:
        UserError: settings that contradict each other, or the `serving` extra is not installed.
    """

    def predict(self, images: Images) -> Arrays:
        """Return the model's outputs by name, for any number of rows: they are sent in batches.

        Args:
            images: (batch, height, width, 3) float array in the range that the model takes; or a list of JPEG or PNG
                files as bytes; or {input name: array} for other signatures.

        Returns:
            {output name: (batch, ...) array}, rows in the order given.

        Raises:
            ServingError: the call failed, or its deadline passed.
            MessageTooLarge: one batch is over `max_message_bytes`.
        """
        deadline = time.monotonic() + self._timeout
        signature, batches = self._requests(images)
        if self._calls.needs_metadata and self._metadata is None:
            self._metadata = self._send(self._calls.metadata(), deadline)
        calls = (self._calls.predict(signature, batch, self._metadata) for batch in batches)
        return _joined([self._send(call, deadline) for call in calls])

    def status(self) -> dict[int, VersionStatus]:
        """Return {version: {"state", "code", "message"}}; the state is LOADING, AVAILABLE, UNLOADING or END."""
        return self._send(self._calls.status(), time.monotonic() + self._timeout)

    def metadata(self) -> Metadata:
        """Return {"version": int, "signatures": {name: {"inputs" and "outputs": {name: {"dtype", "shape"}}}}}.

        A dtype is numpy's name ("bytes" for strings); an axis of any size is None in a shape.
        """
        return self._send(self._calls.metadata(), time.monotonic() + self._timeout)

    def close(self) -> None:
        """Close the connections."""
        self._calls.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _send(self, call: Call[Any, Answer], deadline: float) -> Answer:
        """Send a call until it succeeds or may not be sent again."""
        retries = Retries(self._retries, deadline)
        while True:
            try:
                return self._calls.send(call, retries.time_left())
            except ServingError as error:
                wait = retries.wait_after(error)
            except Exception as error:
                raise _malformed(error) from error
            time.sleep(wait)


class AsyncClient(_Settings):
    """`Client` with coroutines: `await client.predict(...)`, `async with AsyncClient(...) as client`.

    Create it inside a coroutine: its connections belong to the event loop that runs then.
    """

    async def predict(self, images: Images) -> Arrays:
        """See `Client.predict`."""
        deadline = time.monotonic() + self._timeout
        signature, batches = self._requests(images)
        if self._calls.needs_metadata and self._metadata is None:
            metadata = await self._send(self._calls.metadata(), deadline)
            self._metadata = metadata
        calls = (self._calls.predict(signature, batch, self._metadata) for batch in batches)
        return _joined([await self._send(call, deadline) for call in calls])

    async def status(self) -> dict[int, VersionStatus]:
        """See `Client.status`."""
        return await self._send(self._calls.status(), time.monotonic() + self._timeout)

    async def metadata(self) -> Metadata:
        """See `Client.metadata`."""
        return await self._send(self._calls.metadata(), time.monotonic() + self._timeout)

    async def close(self) -> None:
        """Close the connections."""
        await self._calls.close_async()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    async def _send(self, call: Call[Any, Answer], deadline: float) -> Answer:
        """Send a call until it succeeds or may not be sent again."""
        retries = Retries(self._retries, deadline)
        while True:
            try:
                return await self._calls.send_async(call, retries.time_left())
            except ServingError as error:
                wait = retries.wait_after(error)
            except Exception as error:
                raise _malformed(error) from error
            await asyncio.sleep(wait)


def _as_array(values: ArrayLike) -> np.ndarray:
    array = np.asarray(values)
    # Strings stay Python objects: numpy's own strings drop zero bytes at the end.
    return np.array(values, dtype=object) if array.dtype.kind in "SU" else array


def _single_precision(images: np.ndarray) -> np.ndarray:
    return images.astype(np.float32) if images.dtype.kind == "f" else images


def _joined(batches: list[Arrays]) -> Arrays:
    if len(batches) == 1:
        return batches[0]
    try:
        return {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}
    except (KeyError, ValueError) as error:  # the batches have other outputs than each other, or outputs without rows
        raise _malformed(error) from error


def _malformed(error: Exception) -> ServingError:
    """Return the error for an answer that is none: whatever a server sends, callers see a `ServingError`."""
    reason = " ".join(str(error).split())[:300]
    return ServingError("INTERNAL", f"the server's answer cannot be read: {type(error).__name__}: {reason}")
