"""Every error as one line, with its exit code."""

from __future__ import annotations

import errno
import os

import pytest
import tensorflow as tf

from tf_spot.errors import UserError
from tf_spot.faults import told_in_a_line


def of_system(number: int) -> OSError:
    return OSError(number, os.strerror(number), "/runs/a\x1b.json")


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (UserError("a\nmistake"), 2, "a mistake"),
        (of_system(errno.ENOSPC), 2, "room .*No space left on device, /runs/a.x1b.json; free some space"),
        (of_system(errno.EROFS), 2, "Read-only file system, .*another disk"),
        (of_system(errno.EACCES), 2, "Permission denied, .*permissions"),
        (of_system(errno.ENOTDIR), 2, "Not a directory, .*another path"),
        (of_system(errno.EXDEV), 2, "the system must .*Invalid cross-device link"),
        (OSError("Can't write data"), 2, "received: Can't write data"),
        (MemoryError(), 2, "memory"),
        (tf.errors.ResourceExhaustedError(None, None, "/runs/x; No space left on device"), 2, "/runs/x; No space left"),
        (tf.errors.InvalidArgumentError(None, None, "UserError: no photo\nTraceback"), 2, "^no photo$"),
        (ZeroDivisionError("division by zero"), 1, "not foreseen: ZeroDivisionError: division by zero; --debug"),
        (KeyError(), 1, "not foreseen: KeyError; "),
    ],
)  # fmt: skip
def test_an_error_is_one_line(error: Exception, code: int, says: str) -> None:
    told = told_in_a_line(error)
    assert told.code == code and told.line.isprintable()
    with pytest.raises(UserError, match=says):
        raise UserError(told.line)
