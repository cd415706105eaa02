"""Photos that cannot be read, told in one line."""

from __future__ import annotations

from collections.abc import Sequence

from tf_spot.storage.names import printable

SHOWN = 5  # photos that are named


def unreadable(photos: Sequence[str]) -> str:
    """Return the number of photos that cannot be read, and the first of them.

    Args:
        photos: names, or "name: reason", of one or more.
    """
    more = f"; and {len(photos) - SHOWN} more" if len(photos) > SHOWN else ""
    verb = "photo is" if len(photos) == 1 else "photos are"
    return f"{len(photos)} {verb} left out, as they cannot be read: {'; '.join(map(printable, photos[:SHOWN]))}{more}"
