"""Keras must run on TensorFlow: the strategies, data pipelines and exports of this package are TensorFlow's."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from tf_spot.errors import UserError


def require_tensorflow() -> None:
    """Check, before Keras is imported, that it will choose TensorFlow.

    Asked early because Keras with a backend that is not installed ends in a bare `ModuleNotFoundError`.

    Raises:
        UserError: `KERAS_BACKEND` or `keras.json` names another backend, or Keras is loaded with one.
    """
    backend, origin = _chosen_backend()
    if backend != "tensorflow":
        raise UserError(
            f"Keras has the wrong backend. Allowed: 'tensorflow'. Received: {backend!r} from {origin}. "
            "Set KERAS_BACKEND=tensorflow before Python starts."
        )


def _chosen_backend() -> tuple[str, str]:
    """The backend Keras has or will have, and who says so. The order is Keras' own (`keras/src/backend/config.py`)."""
    keras = sys.modules.get("keras")
    if keras is not None:
        return keras.config.backend(), "the Keras already imported"
    if os.environ.get("KERAS_BACKEND"):
        return os.environ["KERAS_BACKEND"], "the environment variable KERAS_BACKEND"
    path = Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser() / "keras.json"
    try:
        settings = json.loads(path.read_text())
    except (OSError, ValueError):  # Keras, too, takes its defaults when the file is missing or broken
        return "tensorflow", "Keras' default"
    return settings.get("backend", "tensorflow"), str(path)
