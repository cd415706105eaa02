"""The clients over gRPC: messages in both directions, and the errors of the channel."""

import sys

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf.meta_graph_pb2 import TensorInfo
from tensorflow_serving.apis import get_model_status_pb2, predict_pb2

from tf_spot import UserError
from tf_spot.serving import Client, MessageTooLarge
from tf_spot.serving.client_grpc import GrpcCalls, _failure, _tensor_info


@pytest.fixture
def calls() -> GrpcCalls:
    return GrpcCalls("127.0.0.1:9", "m", 7, None, max_message_bytes=1000, asynchronous=False)


def test_a_request_names_model_version_and_signature(calls: GrpcCalls) -> None:
    method, message = calls.predict("s", {"x": np.array([1.0, 2.0])}, None).request
    assert method == "Predict"
    spec = message.model_spec
    assert (spec.name, spec.version.value, spec.signature_name) == ("m", 7, "s")
    assert tf.make_ndarray(message.inputs["x"]).tolist() == [1.0, 2.0]
    labelled = GrpcCalls("127.0.0.1:9", "m", None, "stable", max_message_bytes=1000, asynchronous=False)
    assert labelled.status().request.message.model_spec.version_label == "stable"


def test_answers_are_read(calls: GrpcCalls) -> None:
    response = predict_pb2.PredictResponse(outputs={"y": tf.make_tensor_proto([[1.0]])})
    assert calls._outputs(response.SerializeToString())["y"].tolist() == [[1.0]]
    status = get_model_status_pb2.GetModelStatusResponse()
    status.model_version_status.add(version=3, state=30).status.error_code = 5
    assert calls.status().read(status.SerializeToString()) == {
        3: {"state": "AVAILABLE", "code": "NOT_FOUND", "message": ""}
    }


def test_metadata_of_a_tensor() -> None:
    shape = tf.TensorShape((None, 4)).as_proto()
    assert _tensor_info(TensorInfo(dtype=1, tensor_shape=shape)) == {"dtype": "float32", "shape": [None, 4]}
    unknown = tf.TensorShape(None).as_proto()
    assert _tensor_info(TensorInfo(dtype=7, tensor_shape=unknown)) == {"dtype": "bytes", "shape": None}


class Failed:
    def __init__(self, code: grpc.StatusCode, details: str | None) -> None:
        self.code, self.details = lambda: code, lambda: details


def test_errors_of_the_channel() -> None:
    full = _failure(Failed(grpc.StatusCode.RESOURCE_EXHAUSTED, "the queue is full"), 9)
    assert not isinstance(full, MessageTooLarge) and full.is_temporary
    large = _failure(Failed(grpc.StatusCode.RESOURCE_EXHAUSTED, "Received message larger than max (20 vs. 9)"), 9)
    assert isinstance(large, MessageTooLarge) and not large.is_temporary and "max_message_bytes here is 9" in str(large)
    assert str(_failure(Failed(grpc.StatusCode.INTERNAL, None), 9)) == "INTERNAL: "


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorflow_serving", None)
    monkeypatch.delitem(sys.modules, "tensorflow_serving.apis", raising=False)
    with pytest.raises(UserError, match=r"pip install tf-spot\[serving\]"):
        Client("127.0.0.1:9", model="m", protocol="grpc")
