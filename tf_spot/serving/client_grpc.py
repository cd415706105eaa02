"""The clients' calls over gRPC, on TensorFlow Serving's official generated stubs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tf_spot.serving.errors import MessageTooLarge, ServingError, missing_extra

Arrays = dict[str, np.ndarray]


@dataclass
class _Call:
    method: str
    request: Any
    read: Callable[[Any], Any]


class GrpcCalls:
    """Builds, sends and reads the calls about one model; see `Client` for the arguments."""

    needs_metadata = False

    def __init__(
        self,
        target: str,
        model: str,
        version: int | None,
        label: str | None,
        *,
        max_message_bytes: int,
        asynchronous: bool,
    ) -> None:
        try:
            import grpc
            from tensorflow_serving.apis import model_pb2, model_service_pb2_grpc, prediction_service_pb2_grpc
        except ModuleNotFoundError as error:
            raise missing_extra(error) from error
        self._grpc = grpc
        self._max_bytes = max_message_bytes
        self._spec = model_pb2.ModelSpec(name=model)
        if version is not None:
            self._spec.version.value = version
        if label is not None:
            self._spec.version_label = label
        limits = [("grpc.max_receive_message_length", max_message_bytes), ("grpc.max_send_message_length", -1)]
        create = grpc.aio.insecure_channel if asynchronous else grpc.insecure_channel
        self._channel: Any = create(target, options=limits)
        prediction = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)
        models = model_service_pb2_grpc.ModelServiceStub(self._channel)
        self._methods = {
            "Predict": prediction.Predict,
            "GetModelMetadata": prediction.GetModelMetadata,
            "GetModelStatus": models.GetModelStatus,
        }

    def predict(self, signature: str, inputs: Arrays, described: None) -> _Call:
        import tensorflow as tf
        from tensorflow_serving.apis import predict_pb2

        tensors = {name: tf.make_tensor_proto(array) for name, array in inputs.items()}
        request = predict_pb2.PredictRequest(model_spec=self._spec, inputs=tensors)
        request.model_spec.signature_name = signature
        if request.ByteSize() > self._max_bytes:
            told = f"a request of {request.ByteSize()} bytes is over max_message_bytes={self._max_bytes}"
            raise MessageTooLarge(f"{told}; lower batch_size, or raise the limit here and there")
        return _Call("Predict", request, _outputs)

    def status(self) -> _Call:
        from tensorflow_serving.apis import get_model_status_pb2

        request = get_model_status_pb2.GetModelStatusRequest(model_spec=self._spec)
        return _Call("GetModelStatus", request, self._status)

    def metadata(self) -> _Call:
        from tensorflow_serving.apis import get_model_metadata_pb2

        request = get_model_metadata_pb2.GetModelMetadataRequest(
            model_spec=self._spec, metadata_field=["signature_def"]
        )
        return _Call("GetModelMetadata", request, _metadata)

    def send(self, call: _Call, timeout: float) -> Any:
        try:
            return call.read(self._methods[call.method](call.request, timeout=timeout))
        except self._grpc.RpcError as error:
            raise _failure(error, self._max_bytes) from error

    async def send_async(self, call: _Call, timeout: float) -> Any:
        try:
            return call.read(await self._methods[call.method](call.request, timeout=timeout))
        except self._grpc.RpcError as error:
            raise _failure(error, self._max_bytes) from error

    def close(self) -> None:
        self._channel.close()

    async def close_async(self) -> None:
        await self._channel.close()

    def _status(self, response: Any) -> dict[int, dict[str, str]]:
        from tensorflow_serving.apis import get_model_status_pb2

        states = get_model_status_pb2.ModelVersionStatus.State
        codes = {code.value[0]: code.name for code in self._grpc.StatusCode}
        return {
            one.version: {
                "state": states.Name(one.state),
                "code": codes[one.status.error_code],
                "message": one.status.error_message,
            }
            for one in response.model_version_status
        }


def _outputs(response: Any) -> Arrays:
    import tensorflow as tf

    return {name: tf.make_ndarray(tensor) for name, tensor in response.outputs.items()}


def _metadata(response: Any) -> dict[str, Any]:
    from tensorflow_serving.apis import get_model_metadata_pb2

    packed = get_model_metadata_pb2.SignatureDefMap()
    response.metadata["signature_def"].Unpack(packed)
    told = {
        name: {
            "inputs": {key: _tensor(info) for key, info in one.inputs.items()},
            "outputs": {key: _tensor(info) for key, info in one.outputs.items()},
        }
        for name, one in packed.signature_def.items()
    }
    return {"version": response.model_spec.version.value, "signatures": told}


def _tensor(info: Any) -> dict[str, Any]:
    import tensorflow as tf

    dtype = tf.as_dtype(info.dtype)
    shape = tf.TensorShape(info.tensor_shape)
    return {
        "dtype": "bytes" if dtype == tf.string else dtype.name,
        "shape": None if shape.rank is None else list(shape),
    }


def _failure(error: Any, max_bytes: int) -> ServingError:
    code, message = error.code().name, error.details() or ""
    if code == "RESOURCE_EXHAUSTED" and "larger than max" in message:
        return MessageTooLarge(f"{message}; max_message_bytes here is {max_bytes}")
    return ServingError(code, message)
