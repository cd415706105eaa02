"""The gRPC services: tensors that are refused, and errors as statuses."""

import asyncio
from pathlib import Path
from types import SimpleNamespace

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.framework.tensor_pb2 import TensorProto
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    model_pb2,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from tests.support.serving_process import Server, put
from tf_spot.serving.errors import ServingError
from tf_spot.serving.grpc_services import (
    _answer,
    _ModelService,
    _PredictionService,
    _wanted,
    read_arrays,
    read_request,
)
from tf_spot.serving.memory_budget import MemoryBudget
from tf_spot.serving.metrics import Metrics
from tf_spot.serving.predict_wire import WireMessage
from tf_spot.serving.versions import VersionState


class Aborted(Exception):
    pass


class Context:
    async def abort(self, code: grpc.StatusCode, message: str) -> None:
        raise Aborted(code, message)


def test_the_version_that_is_wanted() -> None:
    """Version 0 is a version; a version that is not set is not 0."""
    spec = model_pb2.ModelSpec(name="m")
    assert _wanted(spec) == ("m", None, None)
    spec.version.value = 0
    assert _wanted(spec) == ("m", 0, None)
    assert _wanted(model_pb2.ModelSpec(name="m", version_label="stable")) == ("m", None, "stable")


def request_of(name: str, tensor: TensorProto) -> WireMessage:
    return read_request(predict_pb2.PredictRequest(inputs={name: tensor}).SerializeToString())


def test_tensors_within_the_limit_are_arrays() -> None:
    service = _PredictionService(None, None, Metrics(), MemoryBudget(100), max_message_bytes=48)
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    message = request_of("x", tf.make_tensor_proto(array))
    assert service._claimed_bytes(message) == 48
    np.testing.assert_array_equal(read_arrays(message)["x"], array)
    with pytest.raises(ServingError, match="input 'x' claims 52 bytes; this server's limit is 48 bytes"):
        service._claimed_bytes(request_of("x", tf.make_tensor_proto(np.zeros(13, np.float32))))
    broken = tf.make_tensor_proto(array)
    broken.tensor_content = b"short"
    with pytest.raises(ServingError, match="input 'x' is not a tensor"):
        read_arrays(request_of("x", broken))


def test_errors_become_statuses(caplog: pytest.LogCaptureFixture) -> None:
    for error, code, message in (
        (ServingError("NOT_FOUND", "no such model"), grpc.StatusCode.NOT_FOUND, "no such model"),
        (ValueError("secret"), grpc.StatusCode.INTERNAL, "internal error, see the server's log"),
    ):

        async def call(request: object, error: Exception = error) -> None:
            raise error

        with pytest.raises(Aborted) as caught:
            asyncio.run(_answer(call, None, Context()))
        assert caught.value.args == (code, message)
    assert "secret" in caplog.text


def test_status_has_codes_and_messages() -> None:
    states = {2: VersionState("AVAILABLE"), 1: VersionState("END", "INVALID_ARGUMENT", "cannot be loaded: x")}
    service = _ModelService(SimpleNamespace(status=lambda name, version, label: states))
    response = asyncio.run(service.GetModelStatus(b"", Context()))
    first, second = response.model_version_status
    assert (first.version, first.status.error_code, second.status.error_code) == (2, 0, 3)
    assert second.status.error_message == "cannot be loaded: x"


def test_only_the_signatures_can_be_asked_for() -> None:
    service = _PredictionService(None, None, Metrics(), MemoryBudget(100), 100)
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["weights"]).SerializeToString()
    with pytest.raises(Aborted, match=r"must be \['signature_def'\], received \['weights'\]"):
        asyncio.run(service.GetModelMetadata(request, Context()))


def test_a_tensor_that_claims_a_huge_shape(server: Server, written: Path) -> None:
    put(server, written, 1)
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "model"
    request.inputs["images"].CopyFrom(tf.make_tensor_proto(np.float32(1)))
    for size in (1_000_000, 4, 4, 3):
        request.inputs["images"].tensor_shape.dim.add(size=size)
    with grpc.insecure_channel(server.target) as channel, pytest.raises(grpc.RpcError) as caught:
        prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict(request, timeout=30)
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "claims 192000000 bytes" in caught.value.details()
