"""Requests as bytes: the tensors of TensorFlow, and bounds on what is hostile."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.framework.tensor_pb2 import TensorProto
from tensorflow_serving.apis import predict_pb2

from tf_spot.serving import predict_wire
from tf_spot.serving.predict_wire import WireError, WireTensor, read_message


def wire(tensor: TensorProto) -> WireTensor:
    return read_message(predict_pb2.PredictRequest(inputs={"x": tensor}).SerializeToString(), 2).tensors["x"]


@pytest.mark.parametrize(
    "dtype",
    [
        "float32",
        "float64",
        "float16",
        "int8",
        "uint8",
        "int32",
        "int64",
        "uint16",
        "uint32",
        "uint64",
        "bool",
        "complex64",
    ],
)
@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (2, 3)])
def test_arrays_come_back(dtype: str, shape: tuple[int, ...]) -> None:
    array = (np.arange(np.prod(shape, dtype=int)).reshape(shape) * 3 - 1).astype(dtype)
    found = wire(tf.make_tensor_proto(array))
    np.testing.assert_array_equal(found.array(), array)
    assert (found.dtype.as_numpy_dtype, found.shape, found.claimed_bytes) == (array.dtype, shape, array.nbytes)


def test_strings_come_back() -> None:
    array = np.array([[b"a\0", b""], [b"\xff", b"b"]], object)
    found = wire(tf.make_tensor_proto(array))
    assert found.array().tolist() == array.tolist() and found.array().dtype == object
    assert wire(tf.make_tensor_proto(b"one")).array().tolist() == b"one"


def test_values_of_other_clients_come_back() -> None:
    """Not tensor_content: one field for each value, or one value that fills the shape."""
    tensor = TensorProto(dtype=1, float_val=[1, 2, 3])
    tensor.tensor_shape.dim.add(size=3)
    assert wire(tensor).array().tolist() == [1, 2, 3]
    tensor = TensorProto(dtype=9, int64_val=[-1])
    tensor.tensor_shape.dim.add(size=2)
    assert wire(tensor).array().tolist() == [-1, -1]


def test_the_other_fields_stay_bytes() -> None:
    request = predict_pb2.PredictRequest(output_filter=["a", "b"])
    request.model_spec.name = "m"
    found = read_message(request.SerializeToString(), 2)
    assert found == ({}, {1: [request.model_spec.SerializeToString()], 3: [b"a", b"b"]})


def changed(**fields: object) -> TensorProto:
    return TensorProto(**{"dtype": 1, "float_val": [1.0]} | fields)


def with_axes(*sizes: int, **fields: object) -> TensorProto:
    tensor = changed(**fields)
    for size in sizes:
        tensor.tensor_shape.dim.add(size=size)
    return tensor


HOSTILE = {
    "unknown dtype": (changed(dtype=99), "unknown dtype 99"),
    "no dtype": (changed(dtype=0), "unknown dtype 0"),
    "reference": (changed(dtype=101), "numbers or strings, received float32_ref"),
    "resource": (changed(dtype=20), "numbers or strings, received resource"),
    "a resource's handle": (changed(resource_handle_val=[{"device": "d"}]), "resources or variants"),
    "negative": (with_axes(-1), "axes of known size"),
    "many axes": (with_axes(*[1] * 40), "at most 32 axes"),
    "no rank": (changed(tensor_shape={"unknown_rank": True}), "has no shape"),
    "more floats than the shape": (with_axes(2, float_val=[1.0] * 3), r"3 values for shape \(2,\)"),
    "more integers than the shape": (with_axes(2, int_val=[300] * 3), "values for shape"),
    "more strings than the shape": (with_axes(2, dtype=7, string_val=[b""] * 3), "values for shape"),
}


@pytest.mark.parametrize(("tensor", "told"), HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_tensors_are_refused(tensor: TensorProto, told: str) -> None:
    with pytest.raises(WireError, match=told):
        wire(tensor)


def test_claims_are_known_before_anything_is_built() -> None:
    assert wire(with_axes(2**20, 2**30)).claimed_bytes == 2**52
    assert wire(with_axes(1000, dtype=7, float_val=[], string_val=[b"a"])).claimed_bytes == 64_000


@pytest.mark.parametrize(
    "message", [b"\xff", b"\x12", b"\x12\x05\x0a", b"\x13\x00", b"\x80" * 11, b"\x10\x01", b"\x12\x03\x0a\x01\xff"]
)
def test_what_is_no_message_is_refused(message: bytes) -> None:
    with pytest.raises(WireError):
        read_message(message, 2)


def test_fields_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predict_wire, "MAX_FIELDS", 1000)
    read_message(b"\x1a\x00" * 1000, 2)
    with pytest.raises(WireError, match="more than 1000 fields"):
        read_message(b"\x1a\x00" * 1001, 2)
    with pytest.raises(WireError, match="more than 1000 fields"):  # they count at every depth
        wire(with_axes(1000, dtype=7, float_val=[], string_val=[b""] * 1000))


@pytest.mark.parametrize("seed", range(200))
def test_changed_bytes_are_read_or_refused(seed: int) -> None:
    """No other exception than `WireError`, whatever is changed in a request."""
    random = np.random.default_rng(seed)
    whole = predict_pb2.PredictRequest(
        inputs={"x": tf.make_tensor_proto(np.ones((2, 3), np.float32)), "s": tf.make_tensor_proto([b"a", b"bc"])},
        output_filter=["y"],
    )
    whole.model_spec.name = "m"
    content = bytearray(whole.SerializeToString())
    for _ in range(random.integers(1, 4)):
        content[random.integers(len(content))] = random.integers(256)
    if seed % 3 == 0:
        content = content[: random.integers(len(content))]
    try:
        for tensor in read_message(bytes(content), 2).tensors.values():
            if tensor.claimed_bytes < 10**6:
                tensor.array()
    except WireError:
        pass
