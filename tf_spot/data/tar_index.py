"""Where the photos of a tar lie in it, and their classes: one pass over the headers, which skips the contents.

A WebDataset is a set of tars. The files of one sample lie in the same folder of a tar and have the same name up to the
first dot: `0001.jpg`, `0001.cls`, `0001.json`. A tar is not compressed, so any photo is one read away.
"""

from __future__ import annotations

import json
import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from tf_spot.errors import UserError
from tf_spot.storage.regular_files import open_regular
from tf_spot.storage.spec import NONE

FORM = 1  # raise it when `read_photos` finds something else in the same tar: its answers are kept, see `kept_index`
PICTURES = ("jpg", "jpeg", "png", "webp", "gif", "bmp")
LABEL_FIELDS = ("label", "cls", "class")  # of a sample's .json, the first that is there
MOST_LABEL_BYTES = 2**20  # of a member that names the class
COMPRESSED = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd"}
_BLOCK = 2**20  # bytes read at a time


class Photo(NamedTuple):
    """One photo of a tar."""

    name: str  # of the member
    offset: int  # bytes, of its content in the tar
    size: int  # bytes; 0 for a link
    label: str | None  # text that names the class


@dataclass
class _Sample:
    photo: tarfile.TarInfo | None = None
    texts: dict[str, bytes] = field(default_factory=dict)  # by ending: what may name the class


def read_photos(path: Path, image: str | None = None, label: str | None = None) -> list[Photo]:
    """Return the photos of a tar in its order.

    Args:
        path: of the tar.
        image: ending of the photos, such as `jpg`; None: the one member of a sample that ends like a picture.
        label: ending of the member, or field of the .json, that names the class; None: `.cls`, else the first of
            `LABEL_FIELDS`; `none`: photos have no labels.

    Raises:
        UserError: not a tar, compressed, cut short or altered, a sample with several photos, or a label that is neither
            text nor a whole number.
    """
    endings = PICTURES if image is None else (image.lstrip(".").lower(),)
    wanted = () if label == NONE else ("cls", "json") if label is None else (label.lstrip("."), "json")
    samples: dict[str, _Sample] = {}
    with open_regular(path) as file:
        _refuse_compressed(path, file.read(6))
        for member in _members(path):
            key, ending = _key(member.name)
            if ending in wanted:
                text = os.pread(file.fileno(), min(member.size, MOST_LABEL_BYTES), member.offset_data)
                samples.setdefault(key, _Sample()).texts[ending] = text
            elif ending.rpartition(".")[2] in endings if image is None else ending in endings:
                sample = samples.setdefault(key, _Sample())
                if sample.photo is not None:
                    raise UserError(
                        "a sample must have one photo; received: "
                        f"{path} with {sample.photo.name} and {member.name}; choose one: wds:PATTERN,image=ENDING"
                    )
                sample.photo = member
    return [
        Photo(sample.photo.name, sample.photo.offset_data, sample.photo.size, _label(path, key, sample.texts, label))
        for key, sample in samples.items()
        if sample.photo is not None
    ]


def _key(name: str) -> tuple[str, str]:
    """Return what the files of a sample share, and the rest of the name in lower case; "" for hidden files."""
    folder, _, base = name.rpartition("/")
    key, _, ending = base.partition(".")
    return f"{folder}/{key}", ending.lower() if key else ""


def _members(path: Path) -> Iterator[tarfile.TarInfo]:
    """Yield all files and links of a tar."""
    try:
        with tarfile.open(path, "r:") as tar:
            while (member := tar.next()) is not None:
                tar.members.clear()  # type: ignore[attr-defined]  # it would keep every header
                if member.isfile() or member.islnk() or member.issym():
                    yield member
            end = tar.offset
    except tarfile.TarError as error:
        raise UserError(f"wds:PATTERN must name complete tars; received: {path}: {error}") from error
    # `tarfile` takes a damaged header for the end. What follows the end of a tar are zeros.
    with open_regular(path) as file:
        file.seek(end)
        while block := file.read(_BLOCK):
            if block.count(0) < len(block):
                raise UserError(
                    f"wds:PATTERN must name complete tars; received: {path}, damaged or joined to another at byte "
                    f"{end:,}"
                )


def _refuse_compressed(path: Path, beginning: bytes) -> None:
    kind = next((kind for mark, kind in COMPRESSED.items() if beginning.startswith(mark)), None)
    if kind is not None:
        raise UserError(
            f"tars must not be compressed, as photos are read at their offsets; received: {path}, compressed with "
            f"{kind}; decompress it: the photos in it are compressed anyway"
        )


def _label(path: Path, key: str, texts: dict[str, bytes], label: str | None) -> str | None:
    """Return what names the class of a sample; None if nothing does."""
    own = "cls" if label is None else label.lstrip(".")
    try:
        if own in texts and own != "json":
            return texts[own].decode("utf-8").strip() or None
        fields = json.loads(texts["json"]) if "json" in texts else {}
    except ValueError as error:
        raise UserError(
            f"the label of a sample must be text or JSON; received: {path}, {key.strip('/')}: {error}"
        ) from error
    names = LABEL_FIELDS if label is None else (own,)
    value = next((fields[name] for name in names if name in fields), None) if isinstance(fields, dict) else None
    if value is None or (isinstance(value, str | int) and not isinstance(value, bool)):
        return None if value is None else str(value)
    raise UserError(
        f"a label must be text or a whole number; received: {path}, {key.strip('/')}: {value!r}; choose another field: "
        "wds:PATTERN,label=FIELD, or label=none"
    )
