"""The packages that each format needs, to be written and to be run, and which versions are here."""

from __future__ import annotations

import importlib.util

from tf_spot.errors import UserError
from tf_spot.storage.provenance import version_of

EXTRAS = {"saved_model": "serving", "tflite": "litert", "onnx": "onnx"}
# {module: package}
RUN = {"saved_model": {}, "tflite": {"ai_edge_litert": "ai-edge-litert"}, "onnx": {"onnxruntime": "onnxruntime"}}
WRITE = {
    "saved_model": {"tensorflow_serving": "tensorflow-serving-api"},  # for the warm-up requests
    "tflite": {},
    "onnx": {"onnx": "onnx", "tf2onnx": "tf2onnx"},
}


def require(kind: str, *, write: bool) -> None:
    """Asked before any work is done.

    Raises:
        UserError: a package that runs this format, or with `write` that makes it, is missing.
    """
    for module, package in (RUN[kind] | (WRITE[kind] if write else {})).items():
        if importlib.util.find_spec(module) is None:
            raise UserError(f"{kind} needs {package}, which is missing; run pip install tf-spot[{EXTRAS[kind]}]")


def versions(kind: str) -> dict[str, str | None]:
    """Of the packages that write and run this format, besides TensorFlow."""
    return {package: version_of(package) for package in (RUN[kind] | WRITE[kind]).values()}
