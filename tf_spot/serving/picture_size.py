"""How many pixels encoded photos declare, read from their headers: a file of 200 kB may take seconds to decode."""

from __future__ import annotations

from tf_spot.serving.messages import Arrays

_PNG, _JPEG = b"\x89PNG", b"\xff\xd8"
_MAX_SEGMENTS = 100  # of a JPEG, searched for its size
_NO_SIZE = (0xC4, 0xC8, 0xCC)  # markers among the frame headers C0 to CF that are none


def declared_pixels(inputs: Arrays) -> int:
    """Return the pixels that all PNG and JPEG files among the inputs declare; 0 for anything else."""
    strings = (value for array in inputs.values() if array.dtype == object for value in array.flat)
    return sum(_pixels(value) for value in strings)


def _pixels(file: bytes) -> int:
    if file[:4] == _PNG:
        return int.from_bytes(file[16:20]) * int.from_bytes(file[20:24])
    return _jpeg_pixels(file) if file[:2] == _JPEG else 0


def _jpeg_pixels(file: bytes) -> int:
    """Return height times width of the first frame header: FF, its kind, length (2), precision (1), height, width."""
    at = 2
    for _ in range(_MAX_SEGMENTS):
        kind = int.from_bytes(file[at + 1 : at + 2])
        if 0xC0 <= kind <= 0xCF and kind not in _NO_SIZE:
            return int.from_bytes(file[at + 5 : at + 7]) * int.from_bytes(file[at + 7 : at + 9])
        # A segment's length counts itself; more FF may precede one.
        at += 1 if kind == 0xFF else 2 + max(int.from_bytes(file[at + 2 : at + 4]), 2)
    return 0
