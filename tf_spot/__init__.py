"""Learn image features without labels by spotting artifacts.

The names below, and the modules of the package, are imported when they are first used, so that `import tf_spot` and
`tf-spot --help` never wait for TensorFlow. `keras.saving.load_model` knows the classes of the package all the same.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

from tf_spot.lazy import submodule
from tf_spot.registration import register_with_keras
from tf_spot.startup import quiet_tensorflow

if TYPE_CHECKING:
    from tf_spot.config import Config, preset
    from tf_spot.data import load
    from tf_spot.data.shard_writer import pack
    from tf_spot.errors import UserError
    from tf_spot.evaluation import knn_probe, linear_probe
    from tf_spot.experiments.ablation import ablate
    from tf_spot.experiments.comparison import compare
    from tf_spot.experiments.tuning import tune
    from tf_spot.exporters import export_onnx, export_saved_model, export_tflite
    from tf_spot.inference.embed import embed
    from tf_spot.inference.feature_extractor import feature_extractor
    from tf_spot.models.authors_checkpoint import load_authors_checkpoint
    from tf_spot.models.autoencoder import Autoencoder
    from tf_spot.models.backbones.own import KerasBackbone
    from tf_spot.models.classifier import Classifier
    from tf_spot.models.discriminator import Discriminator
    from tf_spot.models.spotter import ArtifactSpotter
    from tf_spot.runs.load import load_autoencoder, load_classifier, load_spotter
    from tf_spot.runs.pretrained import load_pretrained
    from tf_spot.training.train import train

__version__ = "0.1.0"

__all__ = [
    "ArtifactSpotter",
    "Autoencoder",
    "Classifier",
    "Config",
    "Discriminator",
    "KerasBackbone",
    "UserError",
    "ablate",
    "compare",
    "export_onnx",
    "export_saved_model",
    "export_tflite",
    "embed",
    "feature_extractor",
    "knn_probe",
    "linear_probe",
    "load",
    "load_authors_checkpoint",
    "load_autoencoder",
    "load_classifier",
    "load_pretrained",
    "load_spotter",
    "pack",
    "preset",
    "train",
    "tune",
]

# TensorFlow reads these variables once, when it is first imported. Every import of a module of this package runs these
# lines before. What matters is raised as an exception; what its C++ logs as an error (no CUDA, an optimisation given
# up) is noise.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# oneDNN's convolutions: TensorFlow turns them on by itself only on CPUs with AVX-512 or AMX, but they halve the time of
# the training step with AVX2 alone.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
# On a GPU, batch norm of bfloat16 maps as they lie: cuDNN would get them transposed, and take a kernel that is slow.
os.environ.setdefault("TF_USE_CUDNN_BATCHNORM_SPATIAL_PERSISTENT", "1")

quiet_tensorflow()
register_with_keras()

# {public name: module below tf_spot}. Using a name of _HEAVY imports Keras, so its backend is checked first.
_LIGHT = {"Config": "config", "UserError": "errors", "preset": "config"}
_HEAVY = {
    "ArtifactSpotter": "models.spotter",
    "Autoencoder": "models.autoencoder",
    "Classifier": "models.classifier",
    "Discriminator": "models.discriminator",
    "KerasBackbone": "models.backbones.own",
    "ablate": "experiments.ablation",
    "compare": "experiments.comparison",
    "export_onnx": "exporters",
    "export_saved_model": "exporters",
    "export_tflite": "exporters",
    "embed": "inference.embed",
    "feature_extractor": "inference.feature_extractor",
    "knn_probe": "evaluation",
    "linear_probe": "evaluation",
    "load": "data",
    "load_authors_checkpoint": "models.authors_checkpoint",
    "load_autoencoder": "runs.load",
    "load_classifier": "runs.load",
    "load_pretrained": "runs.pretrained",
    "load_spotter": "runs.load",
    "pack": "data.shard_writer",
    "train": "training.train",
    "tune": "experiments.tuning",
}


# Modules that other versions had here.
_MOVED = {
    "ablation": "experiments.ablation",
    "comparing": "experiments.comparison",
    "embedding_beam": "inference.embed_beam",
    "tuning": "experiments.tuning",
}
_WITHOUT_KERAS = ("cli", "config", "errors", "fields", "progress", "serving", "startup")


def __getattr__(name: str) -> Any:
    if name in _LIGHT:
        return getattr(importlib.import_module(f"tf_spot.{_LIGHT[name]}"), name)
    if name.startswith("_") or name in _WITHOUT_KERAS:
        return submodule("tf_spot", name)
    importlib.import_module("tf_spot.startup").require_tensorflow()
    if name in _HEAVY:
        return getattr(importlib.import_module(f"tf_spot.{_HEAVY[name]}"), name)
    if name in _MOVED:
        return importlib.import_module(f"tf_spot.{_MOVED[name]}")
    return submodule("tf_spot", name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
