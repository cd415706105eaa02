"""TensorFlow Serving's JSON for tensors: rows (`instances`) or columns (`inputs`), strings as {"b64": ...}."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from tf_spot.serving.errors import ServingError
from tf_spot.serving.json_pieces import Json, Text, read_json
from tf_spot.serving.messages import Arrays

MAX_VALUES = 8 * 2**20  # of a request: more than 32 images of 227 x 227 have
_BYTES_SUFFIX = "_bytes"  # outputs with such a name hold bytes that are not text


# --- requests ---------------------------------------------------------------------------------------------------------


@dataclass
class PredictBody:
    """A predict request as it came: nothing in it is checked against the model yet."""

    signature: str
    by_row: bool
    values: Any  # list or array of instances, or the inputs


def parse_body(body: Text, max_values: int = MAX_VALUES) -> PredictBody:
    """Read the JSON object of a predict request.

    Args:
        body: as it came.
        max_values: see `read_json`.

    Raises:
        ServingError: INVALID_ARGUMENT, the body is no such object.
    """
    try:
        request: Any = read_json(body, max_values)
    except ValueError as error:
        raise _bad(f"JSON parse error: {error}") from error
    if not isinstance(request, dict) or ("instances" in request) == ("inputs" in request):
        raise _bad("the request must be a JSON object with either 'instances' or 'inputs'")
    signature = request.get("signature_name", "serving_default")
    if not isinstance(signature, str):
        raise _bad(f"signature_name must be a string, received {_kind(signature)}")
    by_row = "instances" in request
    values = request["instances" if by_row else "inputs"]
    if by_row and (not isinstance(values, list | np.ndarray) or not len(values)):
        raise _bad("instances must be a list that is not empty")
    return PredictBody(signature or "serving_default", by_row, values)


def read_inputs(body: PredictBody, dtypes: Mapping[str, np.dtype]) -> Arrays:
    """Return the arrays of a request.

    Args:
        body: from `parse_body`.
        dtypes: of the signature's inputs by name; `object` stands for strings.

    Returns:
        (batch, ...) by name; strings as bytes.

    Raises:
        ServingError: INVALID_ARGUMENT for names, numbers or nesting that do not fit.
    """
    columns = _columns_of_rows(body.values, dtypes) if body.by_row else _named(body.values, dtypes)
    if set(columns) != set(dtypes):
        raise _bad(f"signature {body.signature!r} takes inputs {sorted(dtypes)}, received {_few(columns)}")
    return {name: _array(name, values, dtypes[name]) for name, values in columns.items()}


def _few(names: Iterable[str]) -> list[str]:
    """Return names for a message; a hostile request may have a million."""
    return sorted(name[:100] for name in islice(names, 8))


def _columns_of_rows(instances: list[Any] | np.ndarray, dtypes: Mapping[str, np.dtype]) -> Mapping[str, Json]:
    if not isinstance(instances[0], dict) or _is_b64(instances[0]):
        return _named(instances, dtypes)
    names = instances[0].keys()
    if any(not isinstance(row, dict) or row.keys() != names for row in instances):
        raise _bad("instances must all have the same names")
    return {name: [row[name] for row in instances] for name in names}


def _named(values: Json, dtypes: Mapping[str, np.dtype]) -> Mapping[str, Json]:
    """Return values by name; those of a single input may come without it."""
    if isinstance(values, dict) and not _is_b64(values):
        return values
    if len(dtypes) != 1:
        raise _bad(f"the signature has several inputs, so name them: {sorted(dtypes)}")
    return {next(iter(dtypes)): values}


def _array(name: str, values: Json, dtype: np.dtype) -> np.ndarray:
    if dtype.kind == "O":
        return _strings(name, values)
    array = _numbers(name, values, dtype)
    allowed = {"b": "b", "i": "iu", "u": "iu"}.get(dtype.kind, "iuf")  # kinds of numbers that need no rounding
    if array.size and array.dtype.kind not in allowed:
        raise _bad(f"input {name!r} must be {dtype}, received {array.dtype}")
    with np.errstate(over="ignore"):  # a number too great for float32 becomes infinite, as in TensorFlow
        cast = array.astype(dtype)
    if dtype.kind in "iu" and not np.array_equal(cast, array):
        raise _bad(f"input {name!r} has a number that {dtype} cannot hold")
    return cast


def _numbers(name: str, values: Json, dtype: np.dtype) -> np.ndarray:
    """Return numbers of any dtype as an array."""
    if isinstance(values, np.ndarray):
        return values
    if not _holds_other_values(values):  # NumPy's arrays of strings could be far larger than they are
        try:
            array = np.array(values)
        except ValueError as error:  # lists of different lengths
            raise _bad(f"input {name!r} is ragged: {str(error).splitlines()[0]}") from error
        if array.dtype.kind in "biuf":
            return array
    raise _bad(f"input {name!r} must be {dtype}, received strings, mixed values or numbers of more than 64 bits")


def _holds_other_values(values: Json) -> bool:
    """True if there is anything but numbers in lists of any depth."""
    if isinstance(values, list):
        return any(_holds_other_values(value) for value in values)
    return not isinstance(values, np.ndarray | int | float)


def _strings(name: str, values: Json) -> np.ndarray:
    if isinstance(values, np.ndarray) and values.size:
        raise _bad(f"input {name!r} must be strings, received {values.dtype}")
    try:
        nested = np.array(_decode(values), dtype=object)
    except (ValueError, binascii.Error) as error:
        raise _bad(f"input {name!r}: {error}") from error
    if not all(isinstance(value, bytes) for value in nested.flat):
        raise _bad(f'input {name!r} must be strings, or {{"b64": "..."}} of bytes, in lists of equal length')
    return nested


def _decode(values: Json) -> Json:
    """Return strings and {"b64": ...}, in lists of any depth, as bytes; other values unchanged."""
    if isinstance(values, list):
        return [_decode(value) for value in values]
    if isinstance(values, dict) and _is_b64(values):
        return base64.b64decode(values["b64"], validate=True)
    return values.encode() if isinstance(values, str) else values


def _is_b64(value: Json) -> bool:
    return isinstance(value, dict) and value.keys() == {"b64"} and isinstance(value["b64"], str)


def _kind(value: Json) -> str:
    """Return what a value is, as JSON calls it; the value itself may be very long."""
    kinds = {dict: "an object", list: "a list", np.ndarray: "a list", bool: "a boolean", type(None): "null"}
    return kinds.get(type(value), "a number")


# --- answers ----------------------------------------------------------------------------------------------------------


def write_outputs(outputs: Arrays, by_row: bool) -> bytes:
    """Return the answer: `predictions` for rows, `outputs` for columns, without the name of a single output.

    Args:
        outputs: (batch, ...) by name.
        by_row: as the request came.

    Raises:
        ServingError: FAILED_PRECONDITION, rows are wanted and the outputs have different numbers of them.
    """
    if not by_row:
        columns = {name: _column(name, array) for name, array in outputs.items()}
        if len(columns) == 1:
            return b'{"outputs": ' + next(iter(columns.values())) + b"}"
        return b'{"outputs": {' + b", ".join(_named_json(columns.items())) + b"}}"
    sizes = {array.shape[:1] for array in outputs.values()}
    if len(sizes) != 1 or sizes == {()}:
        raise ServingError(
            "FAILED_PRECONDITION",
            "an output does not have one row per instance; send 'inputs' instead",
        )
    rows = zip(*(_rows(name, array) for name, array in outputs.items()), strict=True)
    if len(outputs) == 1:
        return b'{"predictions": [' + b", ".join(row for (row,) in rows) + b"]}"
    named = (b"{" + b", ".join(_named_json(zip(outputs, row, strict=True))) + b"}" for row in rows)
    return b'{"predictions": [' + b", ".join(named) + b"]}"


def _column(name: str, array: np.ndarray) -> bytes:
    if array.ndim == 0:
        return _dump(_to_json(name, array))
    return b"[" + b", ".join(_rows(name, array)) + b"]"


def _rows(name: str, array: np.ndarray) -> Iterator[bytes]:
    # Row by row: `json.dumps` lets no other thread run until it is done.
    return (_dump(_to_json(name, array[index : index + 1])[0]) for index in range(len(array)))


def _named_json(members: Iterable[tuple[str, bytes]]) -> Iterator[bytes]:
    return (_dump(name) + b": " + value for name, value in members)


def _to_json(name: str, array: np.ndarray) -> Any:
    return _encode(array.tolist(), name.endswith(_BYTES_SUFFIX)) if array.dtype == object else array.tolist()


def _encode(value: list[Any] | bytes, as_b64: bool) -> Json:
    """Return bytes, in lists of any depth, as text or as {"b64": ...}."""
    if isinstance(value, list):
        return [_encode(one, as_b64) for one in value]
    return {"b64": base64.b64encode(value).decode()} if as_b64 else value.decode("utf-8", "replace")


def _dump(value: Json) -> bytes:
    return json.dumps(value).encode()


def _bad(message: str) -> ServingError:
    return ServingError("INVALID_ARGUMENT", message)
