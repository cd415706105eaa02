"""Names of files that come from outside: shown as text, and as part of other names."""

from __future__ import annotations

import hashlib
import os

NAME_BYTES = 255  # of a file's name, at most: the limit of Linux' file systems


def printable(text: str) -> str:
    r"""Return a text as one line that a terminal shows as it is.

    Line breaks, control characters and bytes that are no UTF-8 are spelled out: an ESC as `\x1b`.
    """
    return "".join(c if c.isprintable() else _spelled(c) for c in text)


def _spelled(character: str) -> str:
    if "\udc80" <= character <= "\udcff":  # how Python carries a byte that is no UTF-8
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")


def fitting(stem: str, ending: str = "") -> str:
    """Return `stem` + `ending`, changed so that it is the name of one file; a hash keeps changed ones distinct.

    Args:
        stem: any text. What names a folder in it, a slash, and a null byte become underscores.
        ending: stays whole.
    """
    safe = stem.translate({ord("/"): "_", 0: "_"})
    encoded, room = os.fsencode(safe), NAME_BYTES - len(os.fsencode(ending))
    if safe == stem and len(encoded) <= room:
        return stem + ending
    mark = "-" + hashlib.sha256(os.fsencode(stem)).hexdigest()[:12]
    kept = encoded[: room - len(mark)].decode("utf-8", "ignore")  # without half a character at the end
    return f"{kept}{mark}{ending}"
