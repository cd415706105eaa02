"""Write files so that a kill or a power cut leaves the old content or the new, and read them back."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any


def write_file(path: Path, write: Callable[[Path], Any]) -> None:
    """Lets `write` fill a file beside `path`, then puts it in place in one move that survives a power cut."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".writing-{path.name}")
    write(aside)
    flush(aside)
    os.replace(aside, path)
    flush(path.parent)


def write_text(path: Path, text: str) -> None:
    """Replaces a text file in one move."""
    write_file(path, lambda aside: aside.write_text(text, encoding="utf-8"))


def append_line(path: Path, record: dict[str, Any]) -> None:
    """Adds a line of JSON, and waits until it is on disk."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")
        file.flush()
        os.fsync(file.fileno())


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The lines of JSON in a file, without one that a kill cut short; none where there is no file."""
    if not path.is_file():
        return []
    *lines, _unfinished = path.read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in lines]


def write_json(path: Path, value: Any) -> None:
    """Replaces a JSON file in one move."""
    write_text(path, json.dumps(value, indent=2) + "\n")


def flush(path: Path) -> None:
    """Makes a file's content, or a folder's list of names, reach the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def file_digest(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
