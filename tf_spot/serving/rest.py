"""TensorFlow Serving's REST calls, as a Starlette application."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import tensorflow as tf
from google.protobuf import json_format
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from tensorflow_serving.apis import get_model_metadata_pb2

from tf_spot.serving.batching import Batcher
from tf_spot.serving.errors import MessageTooLarge, ServingError, log_internal
from tf_spot.serving.json_tensors import MAX_VALUES, parse_body, read_inputs, write_outputs
from tf_spot.serving.memory_budget import MemoryBudget, Share
from tf_spot.serving.messages import Arrays
from tf_spot.serving.metrics import Metrics
from tf_spot.serving.servable import Servable
from tf_spot.serving.versions import ServedModel

log = logging.getLogger(__name__)

Result = TypeVar("Result")

BODY_SECONDS = 60.0  # in which a body must have arrived
_INLINE = 64 * 1024  # bytes of JSON that are read on the event loop, in a few milliseconds
_LARGE = 4 * 2**20  # bytes; longer JSON is read by one thread of its own, one request after the other

METRICS_PATH = "/monitoring/prometheus/metrics"
# A version has 18 digits at most, which fit into 64 bits.
_PATH = re.compile(
    r"/v1/models/(?P<name>[^/:]+)(/versions/(?P<version>\d{1,18})|/labels/(?P<label>[^/:]+))?(?P<verb>:predict|/metadata)?"
)


def rest_app(
    model: ServedModel, batcher: Batcher, metrics: Metrics, budget: MemoryBudget, max_message_bytes: int
) -> Starlette:
    """Return the application; see https://www.tensorflow.org/tfx/serving/api_rest for its calls."""
    calls = _Calls(model, batcher, metrics, budget, max_message_bytes)
    return Starlette(
        routes=[
            Route(METRICS_PATH, lambda request: Response(metrics.text(), media_type="text/plain; version=0.0.4")),
            Route("/{path:path}", calls.answer, methods=["GET", "POST", "PUT", "DELETE", "PATCH"]),
        ]
    )


class _Calls:
    def __init__(
        self, model: ServedModel, batcher: Batcher, metrics: Metrics, budget: MemoryBudget, max_message_bytes: int
    ) -> None:
        self._model = model
        self._batcher = batcher
        self._metrics = metrics
        self._budget = budget
        self._max_bytes = max_message_bytes
        self._large = ThreadPoolExecutor(1, thread_name_prefix="large-json")

    async def answer(self, request: Request) -> Response:
        """Answer one call: its result, or {"error": ...} with the HTTP status of the error."""
        try:
            return _json(await self._call(request))
        except ServingError as error:
            return _json(json.dumps({"error": error.message}).encode(), error.http_status)
        except ClientDisconnect:
            return Response(status_code=499)  # nobody reads it
        except Exception as error:  # the client gets no internals, such as paths of this machine
            log_internal(log, f"{request.method} {request.url.path!r}", error)
            return _json(json.dumps({"error": "internal error, see the server's log"}).encode(), 500)

    async def _call(self, request: Request) -> bytes:
        path = _PATH.fullmatch(request.url.path)
        verb = path["verb"] if path else None
        # TensorFlow Serving too answers a wrong path with 400, not 404.
        if path is None or request.method != ("POST" if verb == ":predict" else "GET"):
            raise ServingError("INVALID_ARGUMENT", f"Malformed request: {request.method} {request.url.path}")
        wanted = (path["name"], int(path["version"]) if path["version"] else None, path["label"])
        if verb == ":predict":
            with self._metrics.predict("rest"):
                return await self._predict(request, *wanted)
        return self._metadata(*wanted) if verb == "/metadata" else self._status(*wanted)

    async def _predict(self, request: Request, name: str, version: int | None, label: str | None) -> bytes:
        with self._budget.share() as share:
            body = await self._body(request, share)
            servable = self._model.find(name, version, label)
            most = max(MAX_VALUES, self._max_bytes // 8)
            signature, by_row, inputs = await self._json_thread(len(body), _read, body, most, servable)
            share.give_back(len(body))
            del body
            share.take(sum(array.nbytes for array in inputs.values()))
            outputs = await self._batcher.run(servable, signature, inputs)
            return await self._json_thread(_size(outputs), write_outputs, outputs, by_row)

    async def _json_thread(self, size: int, work: Callable[..., Result], *arguments: object) -> Result:
        """Read or write JSON of about `size` bytes without holding up other requests.

        JSON can take as long as the model. Small texts are not worth a thread; large ones wait for each other, so that
        memory holds the values of one at a time, and not before smaller ones.
        """
        if size <= _INLINE:
            return work(*arguments)
        pool = self._large if size > _LARGE else None
        return await asyncio.get_running_loop().run_in_executor(pool, work, *arguments)

    async def _body(self, request: Request, share: Share) -> bytearray:
        """Return the request's body, read no further and no longer than the limits."""
        # The header Content-Length is not trusted, and may be missing.
        body = bytearray()
        try:
            async with asyncio.timeout(BODY_SECONDS):
                async for chunk in request.stream():
                    if len(body) + len(chunk) > self._max_bytes:
                        raise MessageTooLarge(
                            f"the request is larger than this server's limit of {self._max_bytes} bytes"
                        )
                    share.take(len(chunk))
                    body += chunk
        except TimeoutError as error:
            message = f"the request did not arrive within {BODY_SECONDS:.0f} seconds"
            raise ServingError("DEADLINE_EXCEEDED", message) from error
        return body

    def _status(self, name: str, version: int | None, label: str | None) -> bytes:
        statuses = [
            {
                "version": str(number),
                "state": state.state,
                "status": {"error_code": state.code, "error_message": state.message},
            }
            for number, state in self._model.status(name, version, label).items()
        ]
        return json.dumps({"model_version_status": statuses}).encode()

    def _metadata(self, name: str, version: int | None, label: str | None) -> bytes:
        servable = self._model.find(name, version, label)
        signatures = get_model_metadata_pb2.SignatureDefMap(signature_def=servable.signature_defs)
        answer = {
            "model_spec": {"name": name, "signature_name": "", "version": str(servable.version)},
            "metadata": {
                "signature_def": json_format.MessageToDict(
                    # Field names and defaults as TensorFlow Serving writes them, such as "unknown_rank": false.
                    signatures,
                    preserving_proto_field_name=True,
                    always_print_fields_with_no_presence=True,
                )
            },
        }
        return json.dumps(answer).encode()


def _read(body: bytearray, max_values: int, servable: Servable) -> tuple[str, bool, Arrays]:
    """Return the signature, whether the answer is wanted in rows, and the inputs, which fit the signature."""
    request = parse_body(body, max_values)
    expected = servable.signature(request.signature).inputs
    dtypes = {key: np.dtype(tf.as_dtype(info.dtype).as_numpy_dtype) for key, info in expected.items()}
    inputs = read_inputs(request, dtypes)
    servable.check(request.signature, inputs)
    return request.signature, request.by_row, inputs


def _size(outputs: Arrays) -> int:
    """Return about how many bytes the outputs take as JSON."""
    return sum(10 * array.size for array in outputs.values())


def _json(content: bytes, status: int = 200) -> Response:
    return Response(content, status, media_type="application/json")
