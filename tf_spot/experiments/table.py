"""What tables of several trainings share: settings, shared autoencoders, failed rows, means."""

from __future__ import annotations

import contextlib
import gc
import json
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tf_spot.config import Config
from tf_spot.errors import UserError
from tf_spot.runs.run import Run
from tf_spot.storage.files import write_json, write_text


def keep_settings(path: Path, settings: dict[str, Any], parts: str) -> None:
    """Writes down what all parts of one work share, or refuses a folder whose parts had something else.

    The photos may have moved since (`data.spec`): their fingerprint tells.

    Args:
        path: the file.
        settings: values that JSON can hold.
        parts: what shares them, for the message: "all rows of a comparison".

    Raises:
        UserError: the file holds other settings.
    """
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, settings)
        return
    kept = json.loads(path.read_text(encoding="utf-8"))
    if "data" in settings:
        kept["data"]["spec"] = settings["data"]["spec"]
    different = [name for name, value in settings.items() if kept.get(name) != value]
    if different:
        raise UserError(
            f"{parts} share their settings; received another {', '.join(different)} than {path} has; repeat the first "
            "command or choose another --out"
        )


def finished_autoencoder(folder: Path, path: Path, config: Config) -> Path | None:
    """A run in `folder` other than `path` whose finished autoencoder was trained as `config` wants it."""
    for other in sorted(folder.glob("*/autoencoder.keras")):
        if other.parent != path and _stage_one(Run(other.parent).config) == _stage_one(config):
            return other.parent
    return None


def _stage_one(config: Config) -> dict[str, Any]:
    """What the training of the autoencoder depends on, in rows of one table: they leave its other fields alone."""
    return {"network": config.to_dict()["network"], "seed": config.training.seed}


@contextlib.contextmanager
def row_of_table(folder: Path, failed: dict[str, str]) -> Iterator[None]:
    """One row of several: what stops it goes to `failed` and FOLDER/error.txt; its graphs are forgotten afterwards."""
    try:
        yield
    except Exception as error:
        failed[folder.name] = f"{type(error).__name__}: {error}"
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / "error.txt", traceback.format_exc())
    finally:
        keras.backend.clear_session()
        gc.collect()


def mean(values: Sequence[float]) -> float:
    """To two decimals."""
    return round(float(np.mean(values)), 2)


def stderr(values: Sequence[float]) -> float | None:
    """Standard error of the mean, to two decimals; None for one value."""
    return round(float(np.std(values, ddof=1) / np.sqrt(len(values))), 2) if len(values) > 1 else None
