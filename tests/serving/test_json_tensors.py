"""TensorFlow Serving's JSON, both ways."""

import base64
import json
from typing import Any

import numpy as np
import pytest

from tf_spot.serving.errors import ServingError
from tf_spot.serving.json_tensors import parse_body, read_inputs, write_outputs

FLOAT, INT, TEXT, BOOL = np.dtype("float32"), np.dtype("int32"), np.dtype(object), np.dtype(bool)
B64 = {"b64": base64.b64encode(b"\xff\x00").decode()}


def read(request: Any, **dtypes: np.dtype) -> dict[str, np.ndarray]:
    return read_inputs(parse_body(json.dumps(request).encode()), dtypes)


def test_rows() -> None:
    request = {"instances": [{"a": [1, 2], "b": "x"}, {"a": [3, 4], "b": B64}]}
    found = read(request, a=FLOAT, b=TEXT)
    assert found["a"].tolist() == [[1, 2], [3, 4]] and found["a"].dtype == FLOAT
    assert found["b"].tolist() == [b"x", b"\xff\x00"]


def test_columns() -> None:
    found = read({"inputs": {"a": [1, 2], "b": [[True]], "c": 5}}, a=INT, b=BOOL, c=INT)
    assert found["a"].tolist() == [1, 2] and found["b"].tolist() == [[True]] and found["c"].shape == ()


@pytest.mark.parametrize(
    ("request_", "dtype", "values"),
    [
        ({"instances": [[1, 2]]}, FLOAT, [[1, 2]]),
        ({"inputs": [[1, 2]]}, FLOAT, [[1, 2]]),
        ({"instances": [B64, "é"]}, TEXT, [b"\xff\x00", "é".encode()]),
        ({"inputs": B64}, TEXT, b"\xff\x00"),
        ({"inputs": []}, FLOAT, []),
        ({"inputs": [1e39]}, FLOAT, [np.inf]),
    ],
)
def test_a_single_input_needs_no_name(request_: Any, dtype: np.dtype, values: Any) -> None:
    found = read(request_, only=dtype)["only"]
    assert found.tolist() == values and found.dtype == dtype


@pytest.mark.parametrize(
    ("request_", "told"),
    [
        ({"instances": [{"a": 1, "b": 2}, {"a": 1}]}, "same names"),
        ({"instances": [{"a": 1, "b": 2}, 3]}, "same names"),
        ({"instances": [1]}, "several inputs"),
        ({"inputs": {"a": [1], "c": [1]}}, r"takes inputs \['a', 'b'\], received \['a', 'c'\]"),
        ({"inputs": {"a": [[1], [1, 2]], "b": [1]}}, "'a' is ragged"),
        ({"inputs": {"a": ["1"], "b": [1]}}, "'a' must be float32"),
        ({"inputs": {"a": [None], "b": [1]}}, "'a' must be float32"),
        ({"inputs": {"a": [1], "b": [1.5]}}, "'b' must be int32"),
        ({"inputs": {"a": [1], "b": [2**40]}}, "int32 cannot hold"),
        ({"inputs": {"a": [1], "b": [2**70]}}, "'b' must be int32"),
        ({"signature_name": 3, "inputs": [1]}, "signature_name"),
        ({"inputs": [1], "instances": [1]}, "either"),
    ],
)
def test_wrong_values(request_: Any, told: str) -> None:
    with pytest.raises(ServingError, match=told) as caught:
        read(request_, a=FLOAT, b=INT)
    assert caught.value.http_status == 400


@pytest.mark.parametrize("values", [[{"b64": "?"}], [1], [["a"], "b"], [{"b64": 1}], [None]])
def test_wrong_strings(values: Any) -> None:
    with pytest.raises(ServingError, match="'text'"):
        read({"inputs": {"text": values}}, text=TEXT)


@pytest.mark.parametrize("body", [b"{", b"", b"\xff", b"[" * 100_000])
def test_what_is_not_json(body: bytes) -> None:
    with pytest.raises(ServingError, match="JSON parse error"):
        parse_body(body)


def test_outputs_as_rows_and_columns() -> None:
    outputs = {
        "a": np.array([[1.0], [2.0]]),
        "raw_bytes": np.array([b"\xff\x00", b""], object),
        "t": np.array([b"x", b"y"], object),
    }
    rows = json.loads(write_outputs(outputs, by_row=True))
    assert rows == {
        "predictions": [
            {"a": [1.0], "raw_bytes": B64, "t": "x"},
            {"a": [2.0], "raw_bytes": {"b64": ""}, "t": "y"},
        ]
    }
    columns = json.loads(write_outputs(outputs, by_row=False))
    assert columns == {"outputs": {"a": [[1.0], [2.0]], "raw_bytes": [B64, {"b64": ""}], "t": ["x", "y"]}}
    assert json.loads(write_outputs({"a": np.array([1])}, by_row=True)) == {"predictions": [1]}
    assert json.loads(write_outputs({"a": np.array([1])}, by_row=False)) == {"outputs": [1]}


@pytest.mark.parametrize("outputs", [{"a": np.array(1)}, {"a": np.zeros(2), "b": np.zeros(3)}])
def test_outputs_that_are_no_rows(outputs: dict) -> None:
    with pytest.raises(ServingError, match="'inputs' instead"):
        write_outputs(outputs, by_row=True)
