"""Where things are kept that can be computed again, for all runs of a user."""

from __future__ import annotations

import os
from pathlib import Path


def user_cache(name: str) -> Path:
    """Return a folder below `$XDG_CACHE_HOME/tf_spot`, else `~/.cache/tf_spot`; it need not exist.

    Raises:
        RuntimeError: the user has no home.
    """
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tf_spot" / name
