"""What names photos, such as `folder:PATH`: its kind and its place, checked before anything heavy is imported."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tf_spot.errors import UserError
from tf_spot.storage.patterns import find_files

# Kind of source: its form.
FORMS = {
    "photos": "photos",
    "folder": "folder:PATH",
    "stl10": "stl10:PATH",
    "places": "places:PATH",
    "tfds": "tfds:NAME",
    "shards": "shards:PATH",
    "list": "list:FILE",
    "hf": "hf:NAME",
    "wds": "wds:PATTERN",
}
IN_FOLDERS = ("folder", "stl10", "places", "shards", "voc")  # kinds whose PATH is a folder
LISTS = (".csv", ".jsonl")  # endings of a list's FILE
OPTIONS = {  # what may follow the place, as in hf:NAME,label=COLUMN
    "hf": ("config", "revision", "image", "label", "train", "test", "unlabelled"),
    "wds": ("image", "label", "test"),
}
NONE = "none"  # of a label or test split: there is none
SEPARATOR = " + "  # between several sources


class Spec(NamedTuple):
    """A kind of source and where it is; "" for `photos`."""

    kind: str
    location: str


def parse_specs(text: str, *more_kinds: str) -> list[Spec]:
    """Return what names photos, as a kind and a place for each source.

    Args:
        text: such as `folder:PATH`, a bare path of a folder or a list, or several with " + " between them.
        more_kinds: that are allowed besides those of `FORMS`, such as `voc`.

    Raises:
        UserError: not text, an unknown kind, or no folder or list where there must be one.
    """
    if not isinstance(text, str):
        raise UserError(
            f"a data source must be text such as 'folder:PATH'; received: {text!r} ({type(text).__name__}); write "
            f"f'folder:{{path}}'"
        )
    kinds = (*FORMS, *more_kinds)
    # A path may hold a plus, so what follows one must look like a source.
    several = re.split(rf"{re.escape(SEPARATOR)}(?=(?:{'|'.join(kinds)})(?::|{re.escape(SEPARATOR)}|$)|[./~])", text)
    return [_parse(one, kinds) for one in several]


def _parse(text: str, kinds: Sequence[str]) -> Spec:
    kind, _, location = _with_kind(text, kinds).partition(":")
    if kind not in kinds or bool(location) != (kind != "photos"):
        allowed = ", ".join(FORMS.get(kind, f"{kind}:PATH") for kind in kinds)
        raise UserError(f"unknown data source; allowed: {allowed}; received: {text!r}")
    if kind in OPTIONS:
        _check_place(kind, split_options(kind, location)[0])
    path = Path(location).expanduser()
    if kind in IN_FOLDERS and not path.is_dir():
        found = "a file" if path.exists() else "missing"
        raise UserError(f"{kind}:PATH must be a folder; received: {location}, {found}")
    if kind == "list" and (path.suffix not in LISTS or not path.is_file()):
        raise UserError(f"list:FILE must be a file that ends in {' or '.join(LISTS)}; received: {location}")
    return Spec(kind, location)


def _check_place(kind: str, place: str) -> None:
    """Refuse tars that are not on this machine, and a path that does not exist."""
    if kind == "wds":
        if "://" in place or place.startswith("pipe:"):
            raise UserError(f"tars must be files on this machine; received: {place}; download them first")
        find_files(place, ".tar")
    elif looks_local(place) and not Path(place).expanduser().exists():
        raise UserError(f"hf:PATH must be a folder or a .parquet file; received: {place}, missing")


def split_options(kind: str, location: str) -> tuple[str, dict[str, str]]:
    """Divide `PLACE,key=value,...` into the place and its options.

    Raises:
        UserError: an option that this kind does not have, without a value, or given twice.
    """
    # A comma in a path or between braces is followed by no word and "=".
    place, *texts = re.split(r",(?=[a-z]+=)", location)
    options = dict(text.split("=", 1) for text in texts)
    wrong = next((text for text in texts if not text.split("=", 1)[1] or text.split("=")[0] not in OPTIONS[kind]), None)
    if wrong is None and len(options) < len(texts):
        wrong = "one twice"
    if not place or wrong is not None:
        allowed = "".join(f"[,{name}=...]" for name in OPTIONS[kind])
        received = f"{wrong} in {location}" if wrong else location
        raise UserError(f"a source must be {FORMS[kind]}{allowed}; received: {received}")
    return place, options


def looks_local(name: str) -> bool:
    """True for what is a path, and for no name of a hub."""
    return name.startswith(("/", "./", "../", "~")) or name in (".", "..") or Path(name).exists()


def _with_kind(text: str, kinds: Sequence[str]) -> str:
    """Return a bare path with the kind of source that it is, a folder or a list; other text as it is."""
    if text.partition(":")[0] in kinds:
        return text
    path = Path(text).expanduser()
    if path.is_dir():
        return f"folder:{text}"
    return f"list:{text}" if path.suffix in LISTS and path.is_file() else text
