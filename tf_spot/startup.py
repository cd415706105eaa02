"""Start Keras on TensorFlow, whose strategies, data pipelines and exports this package uses, and start it quietly."""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
from pathlib import Path
from types import ModuleType

from tf_spot.errors import UserError
from tf_spot.import_hook import Load, around_import


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


def quiet_tensorflow() -> None:
    """Load TensorFlow, when it is first imported, without the log lines of its C++."""
    around_import("tensorflow", _without_start_up)


def _without_start_up(load: Load, module: ModuleType) -> None:
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
