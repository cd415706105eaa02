"""A trained discriminator as files that run without this package."""

from types import ModuleType

from tf_spot.exporters.export import export, verify
from tf_spot.exporters.formats import export_onnx, export_saved_model, export_tflite
from tf_spot.lazy import submodule

__all__ = ["export", "export_onnx", "export_saved_model", "export_tflite", "verify"]


def __getattr__(name: str) -> ModuleType:
    return submodule("tf_spot.exporters", name)
