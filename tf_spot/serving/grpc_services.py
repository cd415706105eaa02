"""TensorFlow Serving's gRPC services, on its official generated stubs."""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable
from typing import TypeVar

import grpc
import numpy as np
import tensorflow as tf
from google.protobuf import any_pb2
from tensorflow.core.framework.tensor_pb2 import TensorProto
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from tf_spot.serving.batching import Batcher
from tf_spot.serving.errors import ServingError
from tf_spot.serving.metrics import Metrics
from tf_spot.serving.versions import ServedModel

log = logging.getLogger(__name__)

Request = TypeVar("Request")
Response = TypeVar("Response")

_METADATA_FIELD = "signature_def"  # the only one that TensorFlow Serving has


def add_services(
    server: grpc.aio.Server, model: ServedModel, batcher: Batcher, metrics: Metrics, max_message_bytes: int
) -> None:
    """Register PredictionService and ModelService."""
    prediction = _PredictionService(model, batcher, metrics, max_message_bytes)
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(prediction, server)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(_ModelService(model), server)


# --- the services -----------------------------------------------------------------------------------------------------


class _PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    """Predict and GetModelMetadata; the other calls answer UNIMPLEMENTED."""

    def __init__(self, model: ServedModel, batcher: Batcher, metrics: Metrics, max_message_bytes: int) -> None:
        self._model = model
        self._batcher = batcher
        self._metrics = metrics
        self._max_bytes = max_message_bytes

    async def Predict(
        self, request: predict_pb2.PredictRequest, context: grpc.aio.ServicerContext
    ) -> predict_pb2.PredictResponse:
        return await _answer(self._predict, request, context)

    async def GetModelMetadata(
        self, request: get_model_metadata_pb2.GetModelMetadataRequest, context: grpc.aio.ServicerContext
    ) -> get_model_metadata_pb2.GetModelMetadataResponse:
        return await _answer(self._metadata, request, context)

    async def _predict(self, request: predict_pb2.PredictRequest) -> predict_pb2.PredictResponse:
        with self._metrics.predict("grpc"):
            spec = request.model_spec
            signature = spec.signature_name or "serving_default"
            servable = self._model.find(*_wanted(spec))
            inputs = {name: self._array(name, tensor) for name, tensor in request.inputs.items()}
            servable.check(signature, inputs)
            # An empty filter means all outputs.
            wanted = set(request.output_filter) or set(servable.signature(signature).outputs)
            unknown = wanted - set(servable.signature(signature).outputs)
            if unknown:
                raise ServingError("INVALID_ARGUMENT", f"output_filter names no output: {sorted(unknown)}")
            outputs = await self._batcher.run(servable, signature, inputs)
            tensors = {name: tf.make_tensor_proto(array) for name, array in outputs.items() if name in wanted}
            return predict_pb2.PredictResponse(
                model_spec=_spec(spec.name, servable.version, signature), outputs=tensors
            )

    def _array(self, name: str, tensor: TensorProto) -> np.ndarray:
        """Return a tensor as an array, if it is not too large.

        A tensor may claim a shape far greater than the values it brings: one value is repeated to fill it.
        """
        try:
            dtype, sizes = tf.as_dtype(tensor.dtype), [dim.size for dim in tensor.tensor_shape.dim]
            claimed = math.prod(sizes) * max(dtype.size or 1, 1)  # strings have no size
            if claimed > self._max_bytes:
                raise ServingError(
                    "INVALID_ARGUMENT",
                    f"input {name!r} claims {claimed} bytes; this server's limit is {self._max_bytes} bytes",
                )
            return tf.make_ndarray(tensor)
        except (TypeError, ValueError) as error:
            raise ServingError("INVALID_ARGUMENT", f"input {name!r} is not a tensor: {error}") from error

    async def _metadata(
        self, request: get_model_metadata_pb2.GetModelMetadataRequest
    ) -> get_model_metadata_pb2.GetModelMetadataResponse:
        if list(request.metadata_field) != [_METADATA_FIELD]:
            received = list(request.metadata_field)
            raise ServingError("INVALID_ARGUMENT", f"metadata_field must be [{_METADATA_FIELD!r}], received {received}")
        servable = self._model.find(*_wanted(request.model_spec))
        packed = any_pb2.Any()
        packed.Pack(get_model_metadata_pb2.SignatureDefMap(signature_def=servable.signature_defs))
        return get_model_metadata_pb2.GetModelMetadataResponse(
            model_spec=_spec(request.model_spec.name, servable.version), metadata={_METADATA_FIELD: packed}
        )


class _ModelService(model_service_pb2_grpc.ModelServiceServicer):
    """GetModelStatus; reloading the configuration answers UNIMPLEMENTED."""

    def __init__(self, model: ServedModel) -> None:
        self._model = model

    async def GetModelStatus(
        self, request: get_model_status_pb2.GetModelStatusRequest, context: grpc.aio.ServicerContext
    ) -> get_model_status_pb2.GetModelStatusResponse:
        return await _answer(self._status, request, context)

    async def _status(
        self, request: get_model_status_pb2.GetModelStatusRequest
    ) -> get_model_status_pb2.GetModelStatusResponse:
        response = get_model_status_pb2.GetModelStatusResponse()
        states = get_model_status_pb2.ModelVersionStatus.State
        for version, state in self._model.status(*_wanted(request.model_spec)).items():
            status = response.model_version_status.add(version=version, state=states.Value(state.state))
            status.status.error_code = getattr(grpc.StatusCode, state.code).value[0]
            status.status.error_message = state.message
        return response


# --- requests and answers ---------------------------------------------------------------------------------------------


async def _answer(
    call: Callable[[Request], Awaitable[Response]], request: Request, context: grpc.aio.ServicerContext
) -> Response:
    """Return the call's answer, or end it with its error as a gRPC status: `abort` always raises."""
    try:
        return await call(request)
    except ServingError as error:
        return await context.abort(grpc.StatusCode[error.code], error.message)
    except Exception:  # the client gets no internals, such as paths of this machine
        log.exception("a gRPC call failed")
        return await context.abort(grpc.StatusCode.INTERNAL, "internal error, see the server's log")


def _wanted(spec: model_pb2.ModelSpec) -> tuple[str, int | None, str | None]:
    """Return the name, version and label of a request, for `ServedModel.find`."""
    version = spec.version.value if spec.HasField("version") else None  # 0 is a version too
    return spec.name, version, spec.version_label or None


def _spec(name: str, version: int, signature: str = "") -> model_pb2.ModelSpec:
    spec = model_pb2.ModelSpec(name=name, signature_name=signature)
    spec.version.value = version
    return spec
