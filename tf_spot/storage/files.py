"""Write files that survive a kill or a power cut, and read them back.

What survives what:

* `write_file`, `write_text`, `write_json`: at any moment the path holds the old content or the new, whole. A kill may
  leave a file `.writing-NAME` beside it, which the next write of that name replaces.
* `append_line`: every line for which the call has returned survives. A kill during the call may leave part of the last
  line, which `read_lines` leaves out.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any


def write_file(path: Path, write: Callable[[Path], object]) -> None:
    """Replace a file atomically.

    A kill leaves the old content or the new. When the call returns, the new content also survives a power cut.

    Args:
        path: the file; its folder is made if need be.
        write: writes the content to the path that it is given, a file in the same folder. If it raises, `path` stays
            as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".writing-{path.name}")  # the same file system: os.replace cannot cross to another
    write(aside)
    flush(aside)  # before the rename, or a power cut could leave the new name with an empty file
    os.replace(aside, path)
    flush(path.parent)  # the rename itself is a change of the folder


def write_text(path: Path, text: str) -> None:
    """Replace a text file atomically, see `write_file`."""
    write_file(path, lambda aside: aside.write_text(text, encoding="utf-8"))


def write_json(path: Path, value: object) -> None:
    """Replace a JSON file atomically, see `write_file`."""
    write_text(path, json.dumps(value, indent=2) + "\n")


def append_line(path: Path, record: Mapping[str, object]) -> None:
    """Append a line of JSON; when the call returns, the line survives a power cut.

    A kill during the call may leave part of the line, without its line break.
    """
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")
        file.flush()
        os.fsync(file.fileno())


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Read lines of JSON, without a last one that a kill cut short; [] where there is no file."""
    if not path.is_file():
        return []
    # Whatever follows the last line break is "" or a line that was not finished.
    *lines, _unfinished = path.read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in lines]


def flush(path: Path) -> None:
    """Wait until a file's content, or a folder's list of names, is on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
