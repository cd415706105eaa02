"""The result file of an evaluation: RUN/results/TASK-DATA.json has the newest, and no other evaluation is lost."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tf_spot.storage.files import file_digest, write_json
from tf_spot.storage.json_files import DamagedFile, read_json
from tf_spot.storage.names import fitting

log = logging.getLogger("tf_spot")


def write_result(folder: Path, result: Mapping[str, Any]) -> None:
    """Write FOLDER/TASK-DATA.json; the result of another evaluation that lies there becomes TASK-DATA-KEY.json.

    An earlier result of the same evaluation is replaced, under either name.

    Args:
        folder: RUN/results.
        result: with `task`, `data` and `key`, which differs with whatever the evaluation depends on.
    """
    name = f"{result['task']}-{result['data']}"
    path = folder / fitting(name, ".json")
    if path.is_file() and (key := _key(path)) != result["key"]:
        kept = folder / fitting(f"{name}-{key}", ".json")
        os.replace(path, kept)
        log.warning("the earlier result, of other settings, photos or weights, is kept as %s", kept.name)
    write_json(path, result)
    (folder / fitting(f"{name}-{result['key']}", ".json")).unlink(missing_ok=True)


def _key(path: Path) -> str:
    """Return the key of a result; of one that has none, of an earlier version, digits of its content."""
    with contextlib.suppress(DamagedFile):
        result = read_json(path, (dict, list))
        if isinstance(result, dict) and isinstance(result.get("key"), str):
            return str(result["key"])
    return file_digest(path)[:16]
