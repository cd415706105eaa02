"""TensorFlow Serving's JSON for tensors: rows (`instances`) or columns (`inputs`), strings as {"b64": ...}."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tf_spot.serving.errors import ServingError
from tf_spot.serving.messages import Arrays

# Whatever JSON can hold: None, bool, int, float, str, list or dict. Nothing of it may be taken for granted.
Json = object

_BYTES_SUFFIX = "_bytes"  # outputs with such a name hold bytes that are not text


# --- requests ---------------------------------------------------------------------------------------------------------


@dataclass
class PredictBody:
    """A predict request as it came: nothing in it is checked against the model yet."""

    signature: str
    by_row: bool
    values: Any  # list of instances, or the inputs


def parse_body(body: bytes) -> PredictBody:
    """Read the JSON object of a predict request.

    Raises:
        ServingError: INVALID_ARGUMENT, the body is no such object.
    """
    try:
        request = json.loads(body)
    except (ValueError, RecursionError) as error:  # RecursionError: nested lists without end
        raise _bad(f"JSON parse error: {error}") from error
    if not isinstance(request, dict) or ("instances" in request) == ("inputs" in request):
        raise _bad("the request must be a JSON object with either 'instances' or 'inputs'")
    signature = request.get("signature_name") or "serving_default"
    if not isinstance(signature, str):
        raise _bad(f"signature_name must be a string, received {signature!r}")
    by_row = "instances" in request
    values = request["instances" if by_row else "inputs"]
    if by_row and (not isinstance(values, list) or not values):
        raise _bad("instances must be a list that is not empty")
    return PredictBody(signature, by_row, values)


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
        raise _bad(f"signature {body.signature!r} takes inputs {sorted(dtypes)}, received {sorted(columns)}")
    return {name: _array(name, values, dtypes[name]) for name, values in columns.items()}


def _columns_of_rows(instances: list[Any], dtypes: Mapping[str, np.dtype]) -> Mapping[str, Json]:
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
    try:
        array = np.array(values)
    except ValueError as error:  # lists of different lengths
        raise _bad(f"input {name!r} is ragged: {str(error).splitlines()[0]}") from error
    allowed = {"b": "b", "i": "iu", "u": "iu"}.get(dtype.kind, "iuf")  # kinds of numbers that need no rounding
    if array.size and array.dtype.kind not in allowed:
        received = "strings or mixed values" if array.dtype.kind in "OUS" else array.dtype
        raise _bad(f"input {name!r} must be {dtype}, received {received}")
    with np.errstate(over="ignore"):  # a number too great for float32 becomes infinite, as in TensorFlow
        cast = array.astype(dtype)
    if dtype.kind in "iu" and not np.array_equal(cast, array):
        raise _bad(f"input {name!r} has a number that {dtype} cannot hold")
    return cast


def _strings(name: str, values: Json) -> np.ndarray:
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
        lists = {name: _to_json(name, array) for name, array in outputs.items()}
        return _dump({"outputs": next(iter(lists.values())) if len(lists) == 1 else lists})
    sizes = {array.shape[:1] for array in outputs.values()}
    if len(sizes) != 1 or sizes == {()}:
        raise ServingError(
            "FAILED_PRECONDITION",
            "an output does not have one row per instance; send 'inputs' instead",
        )
    lists = {name: _to_json(name, array) for name, array in outputs.items()}
    if len(lists) == 1:
        return _dump({"predictions": next(iter(lists.values()))})
    rows = zip(*lists.values(), strict=True)
    return _dump({"predictions": [dict(zip(lists, row, strict=True)) for row in rows]})


def _to_json(name: str, array: np.ndarray) -> Any:
    return _encode(array.tolist(), name.endswith(_BYTES_SUFFIX)) if array.dtype == object else array.tolist()


def _encode(value: list[Any] | bytes, as_b64: bool) -> Json:
    """Return bytes, in lists of any depth, as text or as {"b64": ...}."""
    if isinstance(value, list):
        return [_encode(one, as_b64) for one in value]
    return {"b64": base64.b64encode(value).decode()} if as_b64 else value.decode("utf-8", "replace")


def _dump(answer: dict[str, Json]) -> bytes:
    return json.dumps(answer).encode()


def _bad(message: str) -> ServingError:
    return ServingError("INVALID_ARGUMENT", message)
