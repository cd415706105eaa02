"""Clients of TensorFlow Serving, or of `tf-spot serve`: one that waits, one for asyncio.

Over REST they need httpx alone. Over gRPC they need the official stubs (tensorflow-serving-api), which import
TensorFlow for its tensor messages.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tf_spot.errors import UserError
from tf_spot.serving.errors import ServingError

Arrays = dict[str, np.ndarray]
Images = np.ndarray | Sequence[bytes] | Mapping[str, Any]

_FIRST_WAIT, _LONGEST_WAIT = 0.1, 5.0  # seconds of back-off


class _Settings:
    """What both clients are told, and the work that needs no waiting.

    Args:
        target: "http://host:8501" for REST, "host:8500" for gRPC.
        model: the model's name.
        protocol: "grpc" or "rest".
        version, label: which version to ask, at most one of them; by default the server's newest.
        signature: by default `image_bytes` for bytes and `serving_default` for anything else.
        timeout: seconds for a whole call, with all its batches and retries.
        retries: times that one batch is sent again when the server is away or busy.
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
            told = f"batch_size={batch_size}, timeout={timeout}, retries={retries}"
            raise UserError(f"batch_size must be 1 or more, timeout above 0, retries 0 or more; received {told}")
        self._signature = signature
        self._timeout = timeout
        self._retries = retries
        self._batch_size = batch_size
        self._calls = self._protocol(protocol, target, (model, version, label), max_message_bytes)
        self._described: dict[str, Any] | None = None  # the model's metadata, where the protocol needs it

    def _protocol(self, protocol: str, target: str, where: Any, max_message_bytes: int) -> Any:
        asynchronous = isinstance(self, AsyncClient)
        if protocol == "rest":
            from tf_spot.serving.client_rest import RestCalls

            return RestCalls(target, *where, max_message_bytes=max_message_bytes, asynchronous=asynchronous)
        if protocol == "grpc":
            from tf_spot.serving.client_grpc import GrpcCalls

            return GrpcCalls(target, *where, max_message_bytes=max_message_bytes, asynchronous=asynchronous)
        raise UserError(f"protocol must be 'grpc' or 'rest', received {protocol!r}")

    def _requests(self, images: Images) -> tuple[str, list[Arrays]]:
        """The signature, and the inputs of each request."""
        if isinstance(images, Mapping):
            signature, inputs = "serving_default", {name: _as_array(array) for name, array in images.items()}
        elif isinstance(images, np.ndarray):
            signature, inputs = "serving_default", {"images": _single_precision(images)}
        elif isinstance(images, Sequence) and images and all(isinstance(image, bytes) for image in images):
            signature, inputs = "image_bytes", {"image_bytes": np.array([*images, None], dtype=object)[:-1]}
        else:
            raise UserError(f"images must be an array, a list of bytes or a dict of arrays, received {type(images)}")
        lengths = {len(array) if array.ndim else 0 for array in inputs.values()}
        if len(lengths) != 1 or 0 in lengths:
            raise UserError(f"inputs must have the same number of rows, at least one; received {sorted(lengths)}")
        starts = range(0, lengths.pop(), self._batch_size)
        parts = [{name: array[at : at + self._batch_size] for name, array in inputs.items()} for at in starts]
        return self._signature or signature, parts

    def _waits(self, deadline: float) -> Iterator[float]:
        """Seconds to wait before each further attempt: doubled each time, and spread to keep clients out of step."""
        for attempt in range(self._retries):
            longest = min(_LONGEST_WAIT, _FIRST_WAIT * 2**attempt)
            wait = random.uniform(longest / 2, longest)
            if time.monotonic() + wait >= deadline:
                return
            yield wait


class Client(_Settings):
    """Asks a model and waits for the answer. See `AsyncClient` for asyncio.

    A call fails with `ServingError`, whose `code` is a name of `grpc.StatusCode` whatever the protocol. Only
    UNAVAILABLE and RESOURCE_EXHAUSTED (over REST 503 and 429) are tried again, after a growing, random wait.

    Args: see `_Settings`.

    Raises:
        UserError: settings that contradict each other, or the `serving` extra is not installed.
    """

    def predict(self, images: Images) -> Arrays:
        """The model's outputs by name, for any number of rows: they are sent in batches.

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
        signature, parts = self._requests(images)
        if self._calls.needs_metadata and self._described is None:
            self._described = self._repeat(self._calls.metadata(), deadline)
        calls = (self._calls.predict(signature, part, self._described) for part in parts)
        return _joined([self._repeat(call, deadline) for call in calls])

    def status(self) -> dict[int, dict[str, str]]:
        """{version: {"state", "code", "message"}}; the state is LOADING, AVAILABLE, UNLOADING or END."""
        return self._repeat(self._calls.status(), time.monotonic() + self._timeout)

    def metadata(self) -> dict[str, Any]:
        """{"version": number, "signatures": {name: {"inputs" and "outputs": {name: {"dtype", "shape"}}}}}.

        A dtype is numpy's name ("bytes" for strings); an axis of any size is None in a shape.
        """
        return self._repeat(self._calls.metadata(), time.monotonic() + self._timeout)

    def close(self) -> None:
        """Closes the connections."""
        self._calls.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _repeat(self, call: Any, deadline: float) -> Any:
        waits, answered = self._waits(deadline), None
        while True:
            try:
                return self._calls.send(call, _left(deadline))
            except ServingError as error:
                if answered is not None and error.code == "DEADLINE_EXCEEDED":
                    raise answered from error  # the server's last word says more than that time is up
                wait, answered = (next(waits, None) if error.passes else None), error
                if wait is None:
                    raise
            time.sleep(wait)


class AsyncClient(_Settings):
    """`Client` with coroutines: `await client.predict(...)`, `async with AsyncClient(...) as client`.

    Make it inside a coroutine: its connections belong to the event loop that runs then.
    """

    async def predict(self, images: Images) -> Arrays:
        """See `Client.predict`."""
        deadline = time.monotonic() + self._timeout
        signature, parts = self._requests(images)
        if self._calls.needs_metadata and self._described is None:
            self._described = await self._repeat(self._calls.metadata(), deadline)
        calls = (self._calls.predict(signature, part, self._described) for part in parts)
        return _joined([await self._repeat(call, deadline) for call in calls])

    async def status(self) -> dict[int, dict[str, str]]:
        """See `Client.status`."""
        return await self._repeat(self._calls.status(), time.monotonic() + self._timeout)

    async def metadata(self) -> dict[str, Any]:
        """See `Client.metadata`."""
        return await self._repeat(self._calls.metadata(), time.monotonic() + self._timeout)

    async def close(self) -> None:
        """Closes the connections."""
        await self._calls.close_async()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    async def _repeat(self, call: Any, deadline: float) -> Any:
        waits, answered = self._waits(deadline), None
        while True:
            try:
                return await self._calls.send_async(call, _left(deadline))
            except ServingError as error:
                if answered is not None and error.code == "DEADLINE_EXCEEDED":
                    raise answered from error  # the server's last word says more than that time is up
                wait, answered = (next(waits, None) if error.passes else None), error
                if wait is None:
                    raise
            await asyncio.sleep(wait)


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise ServingError("DEADLINE_EXCEEDED", "the call's timeout has passed")
    return left


def _as_array(values: Any) -> np.ndarray:
    array = np.asarray(values)
    # Strings stay Python objects: numpy's own strings drop zero bytes at the end.
    return np.array(values, dtype=object) if array.dtype.kind in "SU" else array


def _single_precision(images: np.ndarray) -> np.ndarray:
    return images.astype(np.float32) if images.dtype.kind == "f" else images


def _joined(parts: list[Arrays]) -> Arrays:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]} if len(parts) > 1 else parts[0]
