"""What names photos, such as `folder:PATH`: its kind and its place, checked before anything heavy is imported."""

from __future__ import annotations

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
}
IN_FOLDERS = ("folder", "stl10", "places", "shards", "voc")  # kinds whose PATH is a folder


class Spec(NamedTuple):
    """A kind of source and where it is; "" for `photos`."""

    kind: str
    location: str


def parse_spec(text: str, *more_kinds: str) -> Spec:
    """Return what names photos, as a kind and a place.

    Args:
        text: such as `folder:PATH`.
        more_kinds: that are allowed besides those of `FORMS`, such as `voc`.

    Raises:
        UserError: not text, an unknown kind, or no folder where there must be one.
    """
    if not isinstance(text, str):
        raise UserError(
            f"a data source must be text such as 'folder:PATH'; received: {text!r} ({type(text).__name__}); write "
            f"f'folder:{{path}}'"
        )
    kind, _, location = text.partition(":")
    if kind not in (*FORMS, *more_kinds) or bool(location) != (kind != "photos"):
        allowed = ", ".join([*FORMS.values(), *(f"{kind}:PATH" for kind in more_kinds)])
        hint = f"; write folder:{text}" if Path(text).is_dir() else ""
        raise UserError(f"unknown data source; allowed: {allowed}; received: {text!r}{hint}")
    path = Path(location).expanduser()
    if kind in IN_FOLDERS and not path.is_dir():
        found = "a file" if path.exists() else "missing"
        raise UserError(f"{kind}:PATH must be a folder; received: {location}, {found}")
    return Spec(kind, location)
