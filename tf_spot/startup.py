"""Start Keras on TensorFlow, whose strategies, data pipelines and exports this package uses, and start it quietly."""

from __future__ import annotations

import importlib.abc
import importlib.util
import json
import os
import re
import sys
import tempfile
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

from tf_spot.errors import UserError


def require_tensorflow() -> None:
    """Check, before Keras is imported, that it will choose TensorFlow.

    Checked early because importing Keras with a backend that is not installed raises a bare `ModuleNotFoundError`.

    Raises:
        UserError: `KERAS_BACKEND` or `keras.json` names another backend, or Keras is loaded with one.
    """
    backend, origin = _chosen_backend()
    if backend != "tensorflow":
        raise UserError(
            f"Keras has the wrong backend. Allowed: 'tensorflow'. Received: {backend!r} from {origin}. "
            "Set KERAS_BACKEND=tensorflow before Python starts."
        )


# TensorFlow 2.19 and later write such lines while they are imported, whatever TF_CPP_MIN_LOG_LEVEL is
# (tensorflow/tensorflow, issue 100442).
START_UP = re.compile(rb"WARNING: All log messages before absl::InitializeLog\(\)|[IWE]\d{4} ")


class QuietTensorFlow(importlib.abc.MetaPathFinder):
    """Load TensorFlow without the log lines of its C++, whichever module imports it first.

    Stands first in `sys.meta_path` until then.
    """

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        if name != "tensorflow":
            return None
        sys.meta_path.remove(self)  # so that `find_spec` below asks the finders after this one
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            load = spec.loader.exec_module
            spec.loader.exec_module = lambda module: _without_start_up(load, module)  # type: ignore[method-assign]
        return spec


def _without_start_up(load: Callable[[ModuleType], None], module: ModuleType) -> None:
    """Run `load`; other lines that are written to stderr meanwhile are shown afterwards."""
    sys.stderr.flush()
    # C++ writes to the file descriptor itself, past `sys.stderr`.
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            load(module)
        finally:
            sys.stderr.flush()
            os.dup2(stderr, 2)
            os.close(stderr)
            file.seek(0)
            os.write(2, b"".join(line for line in file if not START_UP.match(line)))


def _chosen_backend() -> tuple[str, str]:
    """Return the backend that Keras has or will have, and the origin of that choice.

    Source: Keras' own order (`keras/src/backend/config.py`).
    """
    keras = sys.modules.get("keras")
    if keras is not None:
        return keras.config.backend(), "the Keras already imported"
    if os.environ.get("KERAS_BACKEND"):
        return os.environ["KERAS_BACKEND"], "the environment variable KERAS_BACKEND"
    path = Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser() / "keras.json"
    try:
        settings = json.loads(path.read_text())
    except (OSError, ValueError):  # Keras takes its defaults too when the file is missing or broken
        return "tensorflow", "Keras' default"
    return settings.get("backend", "tensorflow"), str(path)
