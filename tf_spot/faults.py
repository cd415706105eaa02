"""Every error of a command as one line: the user's mistakes, faults of the machine, and what nobody foresaw."""

from __future__ import annotations

import re
from typing import NamedTuple

from tf_spot.errors import UserError, machine_fault
from tf_spot.storage.names import printable

USER_ERROR, UNFORESEEN = 2, 1  # exit codes
# Classes of `tf.errors` by which TensorFlow tells what the system refused; named, so as not to import it.
_SYSTEM = ("PermissionDeniedError", "ResourceExhaustedError", "NotFoundError", "UnavailableError", "DataLossError")
_INSIDE = re.compile(r"UserError: (.+)")  # raised by a Python function inside a graph


class Told(NamedTuple):
    """What a command prints of an error, and its exit code."""

    line: str
    code: int


def told_in_a_line(error: Exception) -> Told:
    """Return the line that tells an error, without control characters, and the exit code."""
    if isinstance(error, UserError):
        return Told(_line(str(error)), USER_ERROR)
    if isinstance(error, OSError):
        return Told(_line(str(machine_fault(error))), USER_ERROR)
    if isinstance(error, MemoryError):
        return Told("there must be memory left; received: none; lower the batch size or close programs", USER_ERROR)
    inside = _INSIDE.search(str(error))
    if inside is not None:
        return Told(_line(inside[1]), USER_ERROR)
    first = next(iter(str(error).strip().splitlines()), "")
    if type(error).__name__ in _SYSTEM and type(error).__module__.startswith("tensorflow"):
        return Told(_line(f"the system must allow what TensorFlow asks for; received: {first}"), USER_ERROR)
    what = f"{type(error).__name__}: {first}".rstrip(": ")
    return Told(_line(f"not foreseen: {what}; --debug shows where; please report it"), UNFORESEEN)


def _line(text: str) -> str:
    return printable(" ".join(text.split()))
