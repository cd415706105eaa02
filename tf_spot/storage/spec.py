"""What names photos, such as `folder:PATH`: its kind and its place, checked before anything heavy is imported."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tf_spot.errors import UserError

# Kind of source: its form.
FORMS = {
    "photos": "photos",
    "folder": "folder:PATH",
    "stl10": "stl10:PATH",
    "places": "places:PATH",
    "tfds": "tfds:NAME",
    "shards": "shards:PATH",
    "list": "list:FILE",
}
IN_FOLDERS = ("folder", "stl10", "places", "shards", "voc")  # kinds whose PATH is a folder
LISTS = (".csv", ".jsonl")  # endings of a list's FILE
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
    path = Path(location).expanduser()
    if kind in IN_FOLDERS and not path.is_dir():
        found = "a file" if path.exists() else "missing"
        raise UserError(f"{kind}:PATH must be a folder; received: {location}, {found}")
    if kind == "list" and (path.suffix not in LISTS or not path.is_file()):
        raise UserError(f"list:FILE must be a file that ends in {' or '.join(LISTS)}; received: {location}")
    return Spec(kind, location)


def _with_kind(text: str, kinds: Sequence[str]) -> str:
    """Return a bare path with the kind of source that it is, a folder or a list; other text as it is."""
    if text.partition(":")[0] in kinds:
        return text
    path = Path(text).expanduser()
    if path.is_dir():
        return f"folder:{text}"
    return f"list:{text}" if path.suffix in LISTS and path.is_file() else text
