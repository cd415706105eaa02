"""A long evaluation in parts: each is kept when it is finished, so that an interrupted evaluation goes on."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras

from tf_spot.storage.files import write_json


class Parts:
    """The finished parts of one evaluation, in a folder named after all that they depend on.

    Args:
        folder: that holds the folder.
        depends_on: settings, data, weights: values that JSON can hold; others give another folder.

    Attributes:
        path: the folder; files of a part may lie there beside its figures.
        resumed: parts found finished so far.
    """

    def __init__(self, folder: Path, depends_on: dict[str, Any]) -> None:
        key = hashlib.sha256(json.dumps(depends_on, sort_keys=True).encode()).hexdigest()[:16]
        self.path, self.resumed = folder / key, 0

    def __call__(self, name: str, work: Callable[[], Any]) -> Any:
        """What `work` gives, a value that JSON can hold; or what it gave when it was first finished."""
        file = self.path / f"{name}.json"
        if file.is_file():
            self.resumed += 1
        else:
            write_json(file, work())
        return json.loads(file.read_text(encoding="utf-8"))

    def forget(self) -> None:
        """The evaluation is finished: another one begins anew."""
        shutil.rmtree(self.path, ignore_errors=True)


def digest(*models: keras.Model) -> str:
    """A fingerprint of their weights."""
    found = hashlib.sha256()
    for model in models:
        for weights in model.get_weights():
            found.update(weights.tobytes())
    return found.hexdigest()
