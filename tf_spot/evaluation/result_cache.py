"""Results of the finished steps of a long evaluation, kept on disk so that an interrupted one can be continued."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras

from tf_spot.storage.files import remove_empty, write_json
from tf_spot.storage.json_files import DamagedFile, read_json


class ResultCache:
    """Cached results of one evaluation, in a folder named after everything they depend on.

    Args:
        folder: holds one folder per evaluation.
        depends_on: settings, data and weights, as values that JSON can hold; other values give another folder.

    Attributes:
        path: the folder of this evaluation; files that belong to a cached result may lie there too.
        resumed: how many results were found so far.
    """

    def __init__(self, folder: Path, depends_on: Mapping[str, object]) -> None:
        key = hashlib.sha256(json.dumps(depends_on, sort_keys=True).encode()).hexdigest()[:16]
        self.path, self.resumed = folder / key, 0

    def __call__(self, name: str, compute: Callable[[], Any]) -> Any:
        """Return the cached result called `name`, or compute and keep it.

        Args:
            name: of the result, unique within the evaluation.
            compute: gives a value that JSON can hold.
        """
        file = self.path / f"{name}.json"
        if file.is_file():
            with contextlib.suppress(DamagedFile):  # computed anew
                result = read_json(file, object)
                self.resumed += 1
                return result
        write_json(file, compute())
        # Also what was just computed goes through JSON, so that both ways give the same types.
        return read_json(file, object)

    def forget(self) -> None:
        """Remove all results: the evaluation is finished, and the next one starts anew."""
        shutil.rmtree(self.path, ignore_errors=True)
        remove_empty([self.path.parent])


def weights_digest(*models: keras.Model) -> str:
    """Return the SHA-256 of the weights of some models, as hexadecimal digits."""
    digest = hashlib.sha256()
    for model in models:
        for weights in model.get_weights():
            digest.update(weights.tobytes())
    return digest.hexdigest()
