"""Write files that survive a kill or a power cut, and read them back.

What survives what:

* `write_file`, `write_text`, `write_json`: at any moment the path holds the old content or the new, whole. A kill may
  leave a file `.writing-NAME` beside it, which the next write of that name replaces; an error leaves nothing.
* `append_line`: every line for which the call has returned survives. A kill during the call may leave part of the last
  line, which `read_lines` leaves out; an error leaves nothing.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping
from io import FileIO
from pathlib import Path
from typing import Any

from tf_spot.storage.json_files import Form, parse
from tf_spot.storage.names import fitting
from tf_spot.storage.regular_files import open_regular


def write_file(path: Path, write: Callable[[Path], object]) -> None:
    """Replace a file atomically.

    A kill leaves the old content or the new. When the call returns, the new content also survives a power cut.

    Args:
        path: the file; its folder is made if need be.
        write: writes the content to the path that it is given, a file in the same folder. If it raises, `path` stays
            as it was, and neither that file nor a folder made for it is left.
    """
    made = make_folder(path.parent)
    # In the same folder, as os.replace cannot cross to another file system.
    aside = path.with_name(fitting(f".writing-{path.name}"))
    try:
        write(aside)
        flush(aside)  # before the rename, or a power cut could leave the new name with an empty file
        os.replace(aside, path)
    except BaseException:
        aside.unlink(missing_ok=True)
        remove_empty(made)
        raise
    flush(path.parent)  # the rename itself is a change of the folder


def write_text(path: Path, text: str) -> None:
    """Replace a text file atomically, see `write_file`."""
    write_file(path, lambda aside: aside.write_text(text, encoding="utf-8"))


def write_json(path: Path, value: object) -> None:
    """Replace a JSON file atomically, see `write_file`."""
    write_text(path, json.dumps(value, indent=2) + "\n")


def append_line(path: Path, record: Mapping[str, object]) -> None:
    """Append a line of JSON; when the call returns, the line survives a power cut.

    A kill during the call may leave part of the line, without its line break; the next call removes it.
    """
    with path.open("a+b", buffering=0) as file:
        size = _end_of_lines(file)
        file.truncate(size)
        line = f"{json.dumps(record)}\n".encode()
        try:
            # A full disk may take part of the line: the rest is refused at the next attempt.
            while line:
                line = line[file.write(line) :]
            os.fsync(file.fileno())
        except OSError:
            file.truncate(size)
            raise


def _end_of_lines(file: FileIO) -> int:
    """Return the bytes of a file up to its last line break."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - 1))
    if file.read(1) in (b"", b"\n"):
        return size
    file.seek(0)
    return (file.read() or b"").rfind(b"\n") + 1


def read_lines(path: Path, form: Form = dict) -> list[dict[str, Any]]:
    """Read lines of JSON, without a last one that a kill cut short; [] where there is no file.

    Args:
        path: the file.
        form: what every line must hold at least, see `json_files`.

    Raises:
        DamagedFile: a line is no JSON, or of another shape.
    """
    if not path.is_file():
        return []
    # Whatever follows the last line break is "" or a line that was not finished.
    *lines, _unfinished = path.read_bytes().split(b"\n")
    return [parse(line, form, f"{path}, line {number}") for number, line in enumerate(lines, 1)]


def make_folder(path: Path) -> list[Path]:
    """Make a folder and those above it; return the ones that were not there, the innermost first."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True)
    return missing


def remove_empty(folders: Iterable[Path]) -> None:
    """Remove those of the folders that are empty."""
    for folder in folders:
        with contextlib.suppress(OSError):
            folder.rmdir()


def flush(path: Path) -> None:
    """Wait until a file's content, or a folder's list of names, is on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal digits."""
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
