"""Read the bytes of a PredictRequest or PredictResponse without building the message first.

A message of two bytes per field becomes one of a hundred bytes per field, and a tensor may claim a shape far greater
than the values that it brings. So fields are counted, and dtype and shape of every tensor are known, before anything
is built; TensorFlow then parses the content of each tensor, without Python's lock.

Source: https://protobuf.dev/programming-guides/encoding, and the .proto files of TensorFlow and TensorFlow Serving.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import tensorflow as tf

MAX_FIELDS = 200_000  # of a message; the values of a number tensor are one field
MAX_AXES = 32
STRING_BYTES = 64  # that a string takes besides its content, in TensorFlow and as a Python object
_ENTRY_KEY, _ENTRY_VALUE = 1, 2  # of every map
_DTYPE, _SHAPE, _CONTENT = 1, 2, 4  # of TensorProto
_DIM, _UNKNOWN_RANK = 2, 3  # of TensorShapeProto
_SIZE = 1  # of its Dim
_VARINTS, _FIXED = (7, 10, 11, 13, 16, 17), {5: 4, 6: 8, 9: 8, 12: 16}  # numbers in TensorProto; bytes of each
_STRINGS, _OTHER_BYTES = 8, 18  # float8_val is bytes
_LENGTH_DELIMITED = 2


class WireError(ValueError):
    """These bytes are no such message, or not within the bounds."""


class WireTensor(NamedTuple):
    """A TensorProto that is not parsed yet."""

    dtype: tf.DType
    shape: tuple[int, ...]
    content: memoryview  # the whole TensorProto

    @property
    def claimed_bytes(self) -> int:
        """Of the array, by its shape."""
        return math.prod(self.shape) * (STRING_BYTES if self.dtype == tf.string else int(self.dtype.size))

    def array(self) -> np.ndarray:
        """Return the tensor as an array; strings as bytes, in an array of objects.

        Raises:
            WireError: its values do not fit its dtype and shape.
        """
        try:
            value = tf.io.parse_tensor(self.content.tobytes(), self.dtype).numpy()
        except tf.errors.OpError as error:
            raise WireError(f"is not a tensor: {error.message}") from error
        return np.asarray(value, object if self.dtype == tf.string else None)


class WireMessage(NamedTuple):
    """The fields of a message: its tensors by name, and the bytes of the others by number."""

    tensors: dict[str, WireTensor]
    others: dict[int, list[bytes]]


def read_message(message: bytes, tensors_field: int) -> WireMessage:
    """Read a message that has a map of tensors.

    Args:
        message: as it came.
        tensors_field: number of the map's field: 2 of PredictRequest, 1 of PredictResponse.

    Raises:
        WireError: no such message, too many fields, or a tensor of unknown dtype or without a shape.
    """
    reader = _Reader(message)
    found = WireMessage({}, {})
    for number, content in reader.fields(memoryview(message)):
        if number != tensors_field:
            found.others.setdefault(number, []).append(bytes(_delimited(content)))
            continue
        name, tensor = "", memoryview(b"")
        for part, value in reader.fields(_delimited(content)):
            if part == _ENTRY_KEY:
                name = _text(_delimited(value))
            elif part == _ENTRY_VALUE:
                tensor = _delimited(value)
        try:
            found.tensors[name] = reader.tensor(tensor)
        except WireError as error:
            raise WireError(f"{name!r} {error}") from error
    return found


class _Reader:
    """Counts the fields of one message, at any depth."""

    def __init__(self, message: bytes) -> None:
        self.left = MAX_FIELDS

    def fields(self, data: memoryview) -> Iterator[tuple[int, memoryview | int]]:
        """Yield the number and content of each field: bytes, or an int where it is a single number."""
        at = 0
        while at < len(data):
            self.left -= 1
            if self.left < 0:
                raise WireError(f"has more than {MAX_FIELDS} fields")
            tag, at = _varint(data, at)
            kind = tag & 7
            if kind == 0:
                number, at = _varint(data, at)
                yield tag >> 3, number
                continue
            if kind == _LENGTH_DELIMITED:
                length, at = _varint(data, at)
            elif kind in (1, 5):
                length = 8 if kind == 1 else 4
            else:  # groups, which no message of today has
                raise WireError(f"is not a message: wire type {kind}")
            if at + length > len(data):
                raise WireError("is cut short")
            content = data[at : at + length]
            # Unpacked numbers of fixed size are counted as one value, like a single varint.
            yield tag >> 3, content if kind == _LENGTH_DELIMITED else 0
            at += length

    def tensor(self, data: memoryview) -> WireTensor:
        """Read dtype and shape of a TensorProto, and check that it brings no more values than the shape claims."""
        dtype, shape, values = 0, None, 0
        for number, content in self.fields(data):
            if number == _DTYPE and isinstance(content, int):
                dtype = content
            elif number == _SHAPE:
                shape = (shape or ()) + self._shape(_delimited(content))  # given twice, Protobuf joins them
            else:
                values += _num_values(number, content)
        try:
            known = tf.as_dtype(dtype)
        except TypeError as error:
            raise WireError(f"has unknown dtype {dtype}") from error
        if known in (tf.resource, tf.variant) or known.name.endswith("_ref"):
            raise WireError(f"must hold numbers or strings, received {known.name}")
        # Without a shape field a tensor is a scalar.
        found = WireTensor(known, shape or (), data)
        if values > max(math.prod(found.shape), 1):
            raise WireError(f"brings {values} values for shape {found.shape}")
        return found

    def _shape(self, data: memoryview) -> tuple[int, ...]:
        sizes: list[int] = []
        for number, content in self.fields(data):
            if number == _UNKNOWN_RANK and content:
                raise WireError("has no shape")
            if number == _DIM:
                size = 0
                for part, value in self.fields(_delimited(content)):
                    size = value if part == _SIZE and isinstance(value, int) else size
                if size >= 2**63 or len(sizes) == MAX_AXES:  # negative, or too many
                    raise WireError(f"must have at most {MAX_AXES} axes of known size")
                sizes.append(size)
        return tuple(sizes)


def _num_values(number: int, content: memoryview | int) -> int:
    """Return how many values a field of TensorProto has."""
    if number == _STRINGS or (isinstance(content, int) and (number in _VARINTS or number in _FIXED)):
        return 1
    if isinstance(content, int) or number in (_CONTENT, _OTHER_BYTES):
        return 0
    if number in _FIXED:
        return len(content) // _FIXED[number]
    if number in _VARINTS:  # the last byte of a varint is below 128
        return int(np.count_nonzero(np.frombuffer(content, np.uint8) < 128))
    if number in (14, 15):
        raise WireError("must hold numbers or strings, received resources or variants")
    return 0


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    """Return the number that begins at `at`, and where it ends."""
    number = 0
    for index in range(10):
        if at + index >= len(data):
            raise WireError("is cut short")
        byte = data[at + index]
        number |= (byte & 127) << 7 * index
        if byte < 128:
            return number & (2**64 - 1), at + index + 1
    raise WireError("is not a message: a number of more than ten bytes")


def _delimited(content: memoryview | int) -> memoryview:
    if isinstance(content, int):
        raise WireError("is not a message: a number where there must be a part")
    return content


def _text(content: memoryview) -> str:
    try:
        return bytes(content[:1000]).decode()
    except UnicodeDecodeError as error:
        raise WireError("has a name that is not UTF-8") from error
