"""Tars of grey photos, for tests of WebDatasets."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

from PIL import Image


def png(level: int, form: str = "PNG") -> bytes:
    """Return a grey photo of 10 x 10 pixels as a file."""
    buffer = io.BytesIO()
    Image.new("L", (10, 10), level).save(buffer, form)
    return buffer.getvalue()


def write_tar(path: Path, members: Mapping[str, bytes | int | str], form: int = tarfile.PAX_FORMAT) -> Path:
    """Write a tar; a number is the photo of that level, text a file of text."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=form) as tar:
        for name, value in members.items():
            content = png(value) if isinstance(value, int) else value.encode() if isinstance(value, str) else value
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def samples(*levels: int, label: str | None = None) -> dict[str, bytes | int | str]:
    """Return the members of one sample per level: a photo, and a .cls with its label where there is one."""
    members: dict[str, bytes | int | str] = {}
    for level in levels:
        members[f"{level:03}.png"] = level
        if label is not None:
            members[f"{level:03}.cls"] = label
    return members
