"""The clients' calls over gRPC, on TensorFlow Serving's official generated stubs."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tf_spot.serving.errors import MessageTooLarge, ServingError, missing_extra
from tf_spot.serving.messages import (
    Answer,
    Arrays,
    Call,
    Metadata,
    TensorInfo,
    VersionStatus,
    refuse_large_request,
)

if TYPE_CHECKING:
    import grpc
    from google.protobuf.message import Message
    from tensorflow.core.protobuf.meta_graph_pb2 import TensorInfo as TensorInfoMessage

_METHODS = {
    "Predict": "/tensorflow.serving.PredictionService/Predict",
    "GetModelMetadata": "/tensorflow.serving.PredictionService/GetModelMetadata",
    "GetModelStatus": "/tensorflow.serving.ModelService/GetModelStatus",
}
_OUTPUTS = 1  # field of PredictResponse
_MOST_BYTES = 4 * 2**20  # of an answer without tensors; gRPC's own default


class GrpcRequest(NamedTuple):
    """A message, and the method it is for."""

    method: str
    message: Message


class GrpcCalls:
    """Build, send and read the calls about one model; see `Client` for the arguments."""

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
            from tensorflow_serving.apis import model_pb2
        except ModuleNotFoundError as error:
            raise missing_extra(error) from error
        self._grpc = grpc
        self._max_bytes = max_message_bytes
        self._spec = model_pb2.ModelSpec(name=model)
        if version is not None:
            self._spec.version.value = version
        if label is not None:
            self._spec.version_label = label
        # Requests are checked here, see `refuse_large_request`, so gRPC needs no limit of its own.
        limits = [("grpc.max_receive_message_length", max_message_bytes), ("grpc.max_send_message_length", -1)]
        create = grpc.aio.insecure_channel if asynchronous else grpc.insecure_channel
        self._channel: grpc.Channel | grpc.aio.Channel = create(target, options=limits)
        # Without a deserializer a response is bytes: what a server sends is looked at before a message is built.
        self._methods = {
            name: self._channel.unary_unary(path, request_serializer=lambda message: message.SerializeToString())
            for name, path in _METHODS.items()
        }

    def predict(self, signature: str, inputs: Arrays, metadata: Metadata | None) -> Call[GrpcRequest, Arrays]:
        """Return a call of Predict; gRPC needs no metadata.

        Args:
            signature: name.
            inputs: (batch, ...) by name.
            metadata: not used.

        Raises:
            MessageTooLarge: the request is over the limit.
        """
        import tensorflow as tf
        from tensorflow_serving.apis import predict_pb2

        tensors = {name: tf.make_tensor_proto(array) for name, array in inputs.items()}
        message = predict_pb2.PredictRequest(model_spec=self._spec, inputs=tensors)
        message.model_spec.signature_name = signature
        refuse_large_request(message.ByteSize(), self._max_bytes)
        return Call(GrpcRequest("Predict", message), self._outputs)

    def status(self) -> Call[GrpcRequest, dict[int, VersionStatus]]:
        """Return a call of GetModelStatus."""
        from tensorflow_serving.apis import get_model_status_pb2

        message = get_model_status_pb2.GetModelStatusRequest(model_spec=self._spec)
        return Call(GrpcRequest("GetModelStatus", message), self._status)

    def metadata(self) -> Call[GrpcRequest, Metadata]:
        """Return a call of GetModelMetadata."""
        from tensorflow_serving.apis import get_model_metadata_pb2

        message = get_model_metadata_pb2.GetModelMetadataRequest(
            model_spec=self._spec, metadata_field=["signature_def"]
        )
        return Call(GrpcRequest("GetModelMetadata", message), _metadata)

    def send(self, call: Call[GrpcRequest, Answer], timeout: float) -> Answer:
        """Send a call once and return its answer.

        Raises:
            ServingError: it failed, or took longer than `timeout` seconds.
        """
        method, message = call.request
        try:
            return call.read(self._methods[method](message, timeout=timeout))
        except self._grpc.RpcError as error:
            raise _failure(error, self._max_bytes) from error

    async def send_async(self, call: Call[GrpcRequest, Answer], timeout: float) -> Answer:
        """See `send`."""
        method, message = call.request
        try:
            return call.read(await self._methods[method](message, timeout=timeout))
        except self._grpc.RpcError as error:
            raise _failure(error, self._max_bytes) from error

    def close(self) -> None:
        """Close the channel."""
        self._channel.close()

    async def close_async(self) -> None:
        """Close the channel of asyncio."""
        await self._channel.close()

    def _outputs(self, content: bytes) -> Arrays:
        from tf_spot.serving.predict_wire import read_message

        tensors = read_message(content, _OUTPUTS).tensors
        claimed = sum(tensor.claimed_bytes for tensor in tensors.values())
        if claimed > self._max_bytes:  # one value may be repeated to fill any shape
            raise MessageTooLarge(
                f"an answer claims {claimed} bytes, over max_message_bytes={self._max_bytes}; lower batch_size, or "
                "raise the limit"
            )
        return {name: tensor.array() for name, tensor in tensors.items()}

    def _status(self, content: bytes) -> dict[int, VersionStatus]:
        from tensorflow_serving.apis import get_model_status_pb2

        response = get_model_status_pb2.GetModelStatusResponse.FromString(_short(content))
        states = get_model_status_pb2.ModelVersionStatus.State
        # On the wire both are numbers.
        codes = {code.value[0]: code.name for code in self._grpc.StatusCode}
        return {
            one.version: {
                "state": states.Name(one.state),
                "code": codes[one.status.error_code],
                "message": one.status.error_message,
            }
            for one in response.model_version_status
        }


def _short(content: bytes) -> bytes:
    """Refuse an answer without tensors that is far longer than any: as messages it would fill the memory."""
    if len(content) > _MOST_BYTES:
        raise MessageTooLarge(f"an answer without tensors has {len(content)} bytes; allowed: {_MOST_BYTES}")
    return content


def _metadata(content: bytes) -> Metadata:
    from tensorflow_serving.apis import get_model_metadata_pb2

    response = get_model_metadata_pb2.GetModelMetadataResponse.FromString(_short(content))
    packed = get_model_metadata_pb2.SignatureDefMap()  # the response has it as google.protobuf.Any
    response.metadata["signature_def"].Unpack(packed)
    return {
        "version": response.model_spec.version.value,
        "signatures": {
            name: {
                "inputs": {key: _tensor_info(info) for key, info in one.inputs.items()},
                "outputs": {key: _tensor_info(info) for key, info in one.outputs.items()},
            }
            for name, one in packed.signature_def.items()
        },
    }


def _tensor_info(info: TensorInfoMessage) -> TensorInfo:
    import tensorflow as tf

    dtype = tf.as_dtype(info.dtype)
    shape = tf.TensorShape(info.tensor_shape)
    return {
        "dtype": "bytes" if dtype == tf.string else dtype.name,
        "shape": None if shape.rank is None else list(shape),
    }


def _failure(error: grpc.RpcError, max_bytes: int) -> ServingError:
    code, message = error.code().name, error.details() or ""
    # A full queue has the same code, but the same call may succeed later.
    if code == "RESOURCE_EXHAUSTED" and "larger than max" in message:
        return MessageTooLarge(f"{message}; max_message_bytes here is {max_bytes}")
    return ServingError(code, message)
