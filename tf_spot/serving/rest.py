"""TensorFlow Serving's REST calls, as a Starlette application."""

from __future__ import annotations

import asyncio
import json
import logging
import re

import numpy as np
import tensorflow as tf
from google.protobuf import json_format
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from tensorflow_serving.apis import get_model_metadata_pb2

from tf_spot.serving.batching import Batcher
from tf_spot.serving.errors import MessageTooLarge, ServingError
from tf_spot.serving.json_tensors import parse_body, read_inputs, write_outputs
from tf_spot.serving.metrics import Metrics
from tf_spot.serving.versions import ServedModel

log = logging.getLogger(__name__)

METRICS_PATH = "/monitoring/prometheus/metrics"
# A version has 18 digits at most, which fit into 64 bits.
_PATH = re.compile(
    r"/v1/models/(?P<name>[^/:]+)(/versions/(?P<version>\d{1,18})|/labels/(?P<label>[^/:]+))?(?P<verb>:predict|/metadata)?"
)


def rest_app(model: ServedModel, batcher: Batcher, metrics: Metrics, max_message_bytes: int) -> Starlette:
    """Return the application; see https://www.tensorflow.org/tfx/serving/api_rest for its calls."""
    calls = _Calls(model, batcher, metrics, max_message_bytes)
    return Starlette(
        routes=[
            Route(METRICS_PATH, lambda request: Response(metrics.text(), media_type="text/plain; version=0.0.4")),
            Route("/{path:path}", calls.answer, methods=["GET", "POST", "PUT", "DELETE", "PATCH"]),
        ]
    )


class _Calls:
    def __init__(self, model: ServedModel, batcher: Batcher, metrics: Metrics, max_message_bytes: int) -> None:
        self._model = model
        self._batcher = batcher
        self._metrics = metrics
        self._max_bytes = max_message_bytes

    async def answer(self, request: Request) -> Response:
        """Answer one call: its result, or {"error": ...} with the HTTP status of the error."""
        try:
            return _json(await self._call(request))
        except ServingError as error:
            return _json(json.dumps({"error": error.message}).encode(), error.http_status)
        except Exception:  # the client gets no internals, such as paths of this machine
            log.exception("%s %s failed", request.method, request.url.path)
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
        # Reading and writing JSON can take as long as the model, so it is done in threads, off the event loop.
        body = await asyncio.to_thread(parse_body, await self._body(request))
        servable = self._model.find(name, version, label)
        expected = servable.signature(body.signature).inputs
        dtypes = {key: np.dtype(tf.as_dtype(info.dtype).as_numpy_dtype) for key, info in expected.items()}
        inputs = await asyncio.to_thread(read_inputs, body, dtypes)
        servable.check(body.signature, inputs)
        outputs = await self._batcher.run(servable, body.signature, inputs)
        return await asyncio.to_thread(write_outputs, outputs, body.by_row)

    async def _body(self, request: Request) -> bytes:
        """Return the request's body, read no further than the limit."""
        # The header Content-Length is not trusted, and may be missing.
        chunks, size = [], 0
        async for chunk in request.stream():
            size += len(chunk)
            if size > self._max_bytes:
                raise MessageTooLarge(f"the request is larger than this server's limit of {self._max_bytes} bytes")
            chunks.append(chunk)
        return b"".join(chunks)

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


def _json(content: bytes, status: int = 200) -> Response:
    return Response(content, status, media_type="application/json")
