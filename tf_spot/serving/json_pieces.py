"""Read JSON of strangers piece by piece: bounded in count and depth, numbers as arrays, other threads not held up.

`json.loads` holds Python's lock until it is done, and takes some 60 bytes for an empty list, which is two bytes of
text. Here values are counted before any is built, `PIECE` bytes are parsed at a time, and lists of numbers become
arrays at once, 8 bytes for each number.
"""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np

# What JSON can hold: None, bool, int, float, str, list, dict; and arrays for lists of numbers of equal shape. Nothing
# of it may be taken for granted.
Json = object
Text = bytes | bytearray

PIECE = 32 * 1024  # bytes, parsed in about a millisecond
MAX_DEPTH = 32  # of lists and objects inside each other; NumPy's arrays have 64 axes at most
MAX_OBJECTS = 1_000_000  # values that no array can hold, about 100 bytes each
_MAX_NUMBER = 1_000  # bytes
_COUNTED_AT_ONCE = 4 * 2**20  # bytes

_SPACE = re.compile(rb"[ \t\n\r]*+")
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_STRING_OR_ITS_START = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)', re.DOTALL)
_WORD = re.compile(rb"[-+.\w]++")
_DEEPER = np.zeros(256, np.int8)  # change of depth by a character
_DEEPER[list(b"[{")] = 1
_DEEPER[list(b"]}")] = -1


def read_json(text: Text, max_values: int) -> Json:
    """Parse JSON; its lists of numbers of equal shape become arrays.

    Args:
        text: UTF-8.
        max_values: allowed values, lists and objects included.

    Raises:
        ValueError: this is not JSON, or not within the bounds.
    """
    # Commas and brackets in strings count too; base64 has none.
    count = 1 + sum(_count(text, character) for character in (b",", b"[", b"{"))
    if count > max_values:
        raise ValueError(f"{count} values; at most {max_values} are read at once")
    reader = _Reader(text)
    value = reader.value(0)
    reader.expect_end()
    return value


def _count(text: Text, character: bytes) -> int:
    # In several calls, between which other threads have their turn.
    starts = range(0, len(text), _COUNTED_AT_ONCE)
    return sum(text.count(character, start, start + _COUNTED_AT_ONCE) for start in starts)


class _Reader:
    """A position in a text, which moves on with each value that is read."""

    def __init__(self, text: Text) -> None:
        self.text = text
        self.at = 0
        self.objects = 0  # values so far that no array holds

    def value(self, depth: int) -> Json:
        """Read the next value, of any kind."""
        if depth > MAX_DEPTH:
            raise ValueError(f"lists or objects nested more than {MAX_DEPTH} deep")
        self._skip_space()
        first = self.text[self.at : self.at + 1]
        if first == b"[":
            return self._list(depth)
        if first == b"{":
            return self._object(depth)
        self._count_objects(1)
        match = (_STRING if first == b'"' else _WORD).match(self.text, self.at)
        if match is None or (first != b'"' and len(match[0]) > _MAX_NUMBER):
            raise ValueError(f"no value at byte {self.at}")
        self.at = match.end()
        return json.loads(match[0])

    def expect_end(self) -> None:
        """Refuse anything but space after the last value."""
        self._skip_space()
        if self.at < len(self.text):
            raise ValueError(f"extra data at byte {self.at}")

    def _object(self, depth: int) -> dict[str, Json]:
        self.at += 1
        members: dict[str, Json] = {}
        if self._take(b"}"):
            return members
        while True:
            self._skip_space()
            name = self.value(depth + 1) if self.text[self.at : self.at + 1] == b'"' else None
            if not isinstance(name, str) or not self._take(b":"):
                raise ValueError(f"no name and colon at byte {self.at}")
            members[name] = self.value(depth + 1)
            if self._ends(b"}"):
                return members

    def _list(self, depth: int) -> Json:
        self.at += 1
        pieces: list[np.ndarray | list[Json]] = []
        if self._take(b"]"):
            return np.zeros(0)
        while True:
            window = bytes(self.text[self.at : self.at + PIECE])
            stop = _end_of_values(window, MAX_DEPTH - depth)
            if stop is None:  # the next value alone is longer than a piece
                value = self.value(depth + 1)
                pieces.append(value[None] if isinstance(value, np.ndarray) else [value])
            else:
                pieces.append(self._parse(window[:stop]))
                self.at += stop
            if self._ends(b"]"):
                return _joined(pieces)

    def _parse(self, content: bytes) -> np.ndarray | list[Json]:
        """Parse some values of a list, with the commas between them."""
        values: list[Any] = json.loads(f"[{content.decode()}]")
        if not values:
            raise ValueError(f"no value at byte {self.at}")
        if b'"' not in content and b"{" not in content:  # an array of strings could be far larger than they are
            try:
                array = np.array(values)
            except ValueError:  # lists of different lengths
                array = None
            if array is not None and array.dtype.kind in "biuf":
                return array
        self._count_objects(1 + content.count(b",") + content.count(b"[") + content.count(b"{"))
        return values

    def _count_objects(self, count: int) -> None:
        self.objects += count
        if self.objects > MAX_OBJECTS:
            raise ValueError(f"more than {MAX_OBJECTS} strings, objects, nulls or lists of different lengths")

    def _ends(self, bracket: bytes) -> bool:
        """True at the bracket that ends a list or object, False at a comma; goes past either."""
        if self._take(bracket):
            return True
        if not self._take(b","):
            raise ValueError(f"neither a comma nor {bracket.decode()} at byte {self.at}")
        return False

    def _take(self, character: bytes) -> bool:
        self._skip_space()
        found = self.text[self.at : self.at + 1] == character
        self.at += found
        return found

    def _skip_space(self) -> None:
        match = _SPACE.match(self.text, self.at)
        self.at = match.end() if match else self.at


def _end_of_values(window: bytes, max_depth: int) -> int | None:
    """Return where the last whole value in a part of a list ends; None if there is none.

    Args:
        window: begins between two values of the list.
        max_depth: of what is inside.
    """
    if b'"' in window:  # brackets and commas in strings are none
        window = _STRING_OR_ITS_START.sub(lambda match: b"_" * len(match[0]), window)
    characters = np.frombuffer(window, np.uint8)
    depth = np.cumsum(_DEEPER[characters], dtype=np.int32)  # (bytes,): after each character
    if len(depth) and depth.max() > max_depth:
        raise ValueError(f"lists or objects nested more than {MAX_DEPTH} deep")
    ends = np.flatnonzero(depth < 0)
    if len(ends):
        return int(ends[0])
    commas = np.flatnonzero((characters == ord(",")) & (depth == 0))
    return int(commas[-1]) if len(commas) else None


def _joined(pieces: list[np.ndarray | list[Json]]) -> Json:
    """Return the values of a list that was read in pieces."""
    arrays = [piece for piece in pieces if isinstance(piece, np.ndarray)]
    if len(arrays) == len(pieces) and len({array.shape[1:] for array in arrays}) == 1:
        return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
    return [value for piece in pieces for value in piece]
