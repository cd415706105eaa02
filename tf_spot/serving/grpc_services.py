"""TensorFlow Serving's gRPC services, on its official messages.

Requests are taken as bytes: a message is built only once its size is known to be harmless, see `predict_wire`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

import grpc
import tensorflow as tf
from google.protobuf import any_pb2
from google.protobuf.message import DecodeError, Message
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_pb2,
    predict_pb2,
)

from tf_spot.serving.batching import Batcher
from tf_spot.serving.errors import ServingError, log_internal
from tf_spot.serving.memory_budget import ALWAYS_ALLOWED, MemoryBudget
from tf_spot.serving.messages import Arrays
from tf_spot.serving.metrics import Metrics
from tf_spot.serving.predict_wire import WireError, WireMessage, read_message
from tf_spot.serving.servable import Servable
from tf_spot.serving.versions import ServedModel

log = logging.getLogger(__name__)

Request = TypeVar("Request", bound=Message)
Response = TypeVar("Response")
Argument = TypeVar("Argument")
Result = TypeVar("Result")

_METADATA_FIELD = "signature_def"  # the only one that TensorFlow Serving has
_SPEC, _INPUTS, _FILTER = 1, 2, 3  # fields of PredictRequest
_SMALL_MESSAGE = 64 * 1024  # bytes; a greater one without tensors is no ordinary request


def add_services(
    server: grpc.aio.Server,
    model: ServedModel,
    batcher: Batcher,
    metrics: Metrics,
    budget: MemoryBudget,
    max_message_bytes: int,
) -> None:
    """Register PredictionService and ModelService; calls that they lack are answered with UNIMPLEMENTED."""
    services: dict[str, _PredictionService | _ModelService] = {
        "tensorflow.serving.PredictionService": _PredictionService(model, batcher, metrics, budget, max_message_bytes),
        "tensorflow.serving.ModelService": _ModelService(model),
    }
    for name, service in services.items():
        # Without a deserializer a handler is given the bytes of the request.
        handlers = {
            method: grpc.unary_unary_rpc_method_handler(
                getattr(service, method), response_serializer=lambda response: response.SerializeToString()
            )
            for method in service.METHODS
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, handlers),))


# --- the services -----------------------------------------------------------------------------------------------------


class _PredictionService:
    METHODS = ("Predict", "GetModelMetadata")

    def __init__(
        self, model: ServedModel, batcher: Batcher, metrics: Metrics, budget: MemoryBudget, max_message_bytes: int
    ) -> None:
        self._model = model
        self._batcher = batcher
        self._metrics = metrics
        self._budget = budget
        self._max_bytes = max_message_bytes

    async def Predict(self, request: bytes, context: grpc.aio.ServicerContext) -> predict_pb2.PredictResponse:
        return await _answer(self._predict, request, context)

    async def GetModelMetadata(
        self, request: bytes, context: grpc.aio.ServicerContext
    ) -> get_model_metadata_pb2.GetModelMetadataResponse:
        return await _answer(self._metadata, request, context)

    async def _predict(self, request: bytes) -> predict_pb2.PredictResponse:
        with self._metrics.predict("grpc"), self._budget.share() as share:
            share.take(len(request))
            message = await _in_thread_if_large(len(request), read_request, request)
            spec = _parse(model_pb2.ModelSpec, b"".join(message.others.get(_SPEC, [])))
            signature = spec.signature_name or "serving_default"
            servable = self._model.find(*_wanted(spec))
            servable.check(signature, message.tensors)
            wanted = _wanted_outputs(message, servable, signature)
            claimed = self._claimed_bytes(message)
            share.take(claimed)
            inputs = await _in_thread_if_large(len(request) + claimed, read_arrays, message)
            outputs = await self._batcher.run(servable, signature, inputs)
            tensors = {name: tf.make_tensor_proto(array) for name, array in outputs.items() if name in wanted}
            return predict_pb2.PredictResponse(
                model_spec=_spec(spec.name, servable.version, signature), outputs=tensors
            )

    def _claimed_bytes(self, message: WireMessage) -> int:
        """Return the bytes of all inputs as arrays, if they are within the limit.

        A tensor may claim a shape far greater than the values it brings: one value is repeated to fill it.
        """
        claimed = 0
        for name, tensor in message.tensors.items():
            claimed += tensor.claimed_bytes
            if claimed > self._max_bytes:
                raise ServingError(
                    "INVALID_ARGUMENT",
                    f"input {name!r} claims {tensor.claimed_bytes} bytes; this server's limit is {self._max_bytes} "
                    "bytes for all inputs",
                )
        return claimed

    async def _metadata(self, content: bytes) -> get_model_metadata_pb2.GetModelMetadataResponse:
        request = _parse(get_model_metadata_pb2.GetModelMetadataRequest, content)
        if list(request.metadata_field) != [_METADATA_FIELD]:
            received = list(request.metadata_field)[:8]
            raise ServingError("INVALID_ARGUMENT", f"metadata_field must be [{_METADATA_FIELD!r}], received {received}")
        servable = self._model.find(*_wanted(request.model_spec))
        packed = any_pb2.Any()
        packed.Pack(get_model_metadata_pb2.SignatureDefMap(signature_def=servable.signature_defs))
        return get_model_metadata_pb2.GetModelMetadataResponse(
            model_spec=_spec(request.model_spec.name, servable.version), metadata={_METADATA_FIELD: packed}
        )


class _ModelService:
    METHODS = ("GetModelStatus",)

    def __init__(self, model: ServedModel) -> None:
        self._model = model

    async def GetModelStatus(
        self, request: bytes, context: grpc.aio.ServicerContext
    ) -> get_model_status_pb2.GetModelStatusResponse:
        return await _answer(self._status, request, context)

    async def _status(self, content: bytes) -> get_model_status_pb2.GetModelStatusResponse:
        request = _parse(get_model_status_pb2.GetModelStatusRequest, content)
        response = get_model_status_pb2.GetModelStatusResponse()
        states = get_model_status_pb2.ModelVersionStatus.State
        for version, state in self._model.status(*_wanted(request.model_spec)).items():
            status = response.model_version_status.add(version=version, state=states.Value(state.state))
            status.status.error_code = getattr(grpc.StatusCode, state.code).value[0]
            status.status.error_message = state.message
        return response


# --- requests and answers ---------------------------------------------------------------------------------------------


async def _answer(
    call: Callable[[bytes], Awaitable[Response]], request: bytes, context: grpc.aio.ServicerContext
) -> Response:
    """Return the call's answer, or end it with its error as a gRPC status: `abort` always raises."""
    try:
        return await call(request)
    except ServingError as error:
        return await context.abort(grpc.StatusCode[error.code], error.message)
    except Exception as error:  # the client gets no internals, such as paths of this machine
        log_internal(log, "a gRPC call", error)
        return await context.abort(grpc.StatusCode.INTERNAL, "internal error, see the server's log")


def read_request(content: bytes) -> WireMessage:
    """Read a PredictRequest, whose tensors are not parsed yet.

    Raises:
        ServingError: INVALID_ARGUMENT, see `read_message`.
    """
    try:
        return read_message(content, _INPUTS)
    except WireError as error:
        raise ServingError("INVALID_ARGUMENT", f"the request {error}") from error


def read_arrays(message: WireMessage) -> Arrays:
    """Return the tensors of a message as arrays.

    Raises:
        ServingError: INVALID_ARGUMENT, values that do not fit their dtype and shape.
    """
    arrays = {}
    for name, tensor in message.tensors.items():
        try:
            arrays[name] = tensor.array()
        except WireError as error:
            raise ServingError("INVALID_ARGUMENT", f"input {name!r} {error}") from error
    return arrays


async def _in_thread_if_large(size: int, read: Callable[[Argument], Result], argument: Argument) -> Result:
    """Call a function in a thread, so that the event loop goes on; directly if `size` is an ordinary request's."""
    return read(argument) if size <= ALWAYS_ALLOWED else await asyncio.to_thread(read, argument)


def _parse(kind: type[Request], content: bytes) -> Request:
    """Return a message without tensors."""
    if len(content) > _SMALL_MESSAGE:
        raise ServingError("INVALID_ARGUMENT", f"{kind.__name__} has {len(content)} bytes; allowed: {_SMALL_MESSAGE}")
    try:
        return kind.FromString(content)
    except DecodeError as error:
        raise ServingError("INVALID_ARGUMENT", f"the request has no valid {kind.__name__}") from error


def _wanted_outputs(message: WireMessage, servable: Servable, signature: str) -> set[str]:
    """Return the names of the outputs that the request asks for: without a filter all."""
    known = set(servable.signature(signature).outputs)
    wanted = {name.decode("utf-8", "replace") for name in message.others.get(_FILTER, [])}
    unknown = sorted(wanted - known)
    if unknown:
        raise ServingError("INVALID_ARGUMENT", f"output_filter names no output: {unknown[:8]}")
    return wanted or known


def _wanted(spec: model_pb2.ModelSpec) -> tuple[str, int | None, str | None]:
    """Return the name, version and label of a request, for `ServedModel.find`."""
    version = spec.version.value if spec.HasField("version") else None  # 0 is a version too
    return spec.name, version, spec.version_label or None


def _spec(name: str, version: int, signature: str = "") -> model_pb2.ModelSpec:
    spec = model_pb2.ModelSpec(name=name, signature_name=signature)
    spec.version.value = version
    return spec
