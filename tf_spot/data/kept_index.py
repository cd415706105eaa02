"""The photos of a tar, kept between commands: to walk the headers of a million photos takes minutes.

A file of the cache is named after the tar's path and the options. It holds a digest of what follows, what the answer
depends on, and the answer, each on a line. One that is damaged or of another state of the tar is passed over and
replaced, and a cache that cannot be read or written costs time alone.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from pathlib import Path

from tf_spot.data.tar_index import FORM, Photo, read_photos
from tf_spot.storage.files import write_file
from tf_spot.storage.regular_files import open_regular
from tf_spot.storage.user_cache import user_cache


def folder() -> Path:
    """Return where indices are kept."""
    return user_cache("tar-index")


def kept_photos(path: Path, image: str | None = None, label: str | None = None) -> list[Photo]:
    """Return what `read_photos` does, from the cache if the size and time of the tar are those of then."""
    named = json.dumps([os.path.abspath(path), image, label]).encode()
    state = _state(path, named)
    try:
        file = folder() / f"{hashlib.sha256(named).hexdigest()[:32]}.json"
    except RuntimeError:  # the user has no home
        return read_photos(path, image, label)
    kept = _read(file, state)
    if kept is not None:
        return kept
    photos = read_photos(path, image, label)
    if _state(path, named) == state:  # else it was written to meanwhile
        lines = b"\n".join([state, json.dumps(photos).encode()])
        content = b"\n".join([_digest(lines), lines])
        with contextlib.suppress(OSError):
            write_file(file, lambda aside: aside.write_bytes(content))
    return photos


def _state(path: Path, named: bytes) -> bytes:
    """Return all that the photos found depend on, as one line; nothing of a tar that is missing."""
    with contextlib.suppress(OSError):
        found = os.stat(path)
        return b"%s %d %d %d" % (named, FORM, found.st_size, found.st_mtime_ns)
    return b""


def _read(file: Path, state: bytes) -> list[Photo] | None:
    """Return what a file of the cache holds; None if there is none, it is damaged, or is of another state."""
    try:
        with open_regular(file) as opened:
            digest, lines = opened.read().split(b"\n", 1)
        told, photos = lines.split(b"\n")
    except (OSError, ValueError):
        return None
    if told != state or digest != _digest(lines):
        return None
    return [Photo(*values) for values in json.loads(photos)]


def _digest(lines: bytes) -> bytes:
    return hashlib.sha256(lines).hexdigest().encode()
