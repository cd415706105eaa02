"""Learn image features without labels by spotting artifacts.

The names below are loaded when first used, so that `import tf_spot` and `tf-spot --help` never wait for TensorFlow.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tf_spot.authors import load_authors_checkpoint
    from tf_spot.autoencoder import Autoencoder
    from tf_spot.config import Config, preset
    from tf_spot.data import open_source as load
    from tf_spot.errors import UserError
    from tf_spot.evaluation import knn_probe, linear_probe
    from tf_spot.spotter import ArtifactSpotter
    from tf_spot.training import load_spotter, train

__version__ = "0.1.0"

__all__ = [
    "ArtifactSpotter",
    "Autoencoder",
    "Config",
    "UserError",
    "__version__",
    "knn_probe",
    "linear_probe",
    "load",
    "load_authors_checkpoint",
    "load_spotter",
    "preset",
    "train",
]

# TensorFlow reads this once, when it is first imported, and every module of the package passes here before that.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

_LIGHT = {
    "Config": ("tf_spot.config", "Config"),
    "UserError": ("tf_spot.errors", "UserError"),
    "preset": ("tf_spot.config", "preset"),
}
_HEAVY = {
    "ArtifactSpotter": ("tf_spot.spotter", "ArtifactSpotter"),
    "Autoencoder": ("tf_spot.autoencoder", "Autoencoder"),
    "knn_probe": ("tf_spot.evaluation", "knn_probe"),
    "linear_probe": ("tf_spot.evaluation", "linear_probe"),
    "load": ("tf_spot.data", "open_source"),
    "load_authors_checkpoint": ("tf_spot.authors", "load_authors_checkpoint"),
    "load_spotter": ("tf_spot.training", "load_spotter"),
    "train": ("tf_spot.training", "train"),
}


def __getattr__(name: str) -> Any:
    if name in _HEAVY:
        importlib.import_module("tf_spot.backend").require_tensorflow()
    elif name not in _LIGHT:
        raise AttributeError(f"module 'tf_spot' has no attribute {name!r}")
    module, attribute = (_LIGHT | _HEAVY)[name]
    return getattr(importlib.import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted(__all__)
