"""A trained discriminator as files that run without this package."""

from tf_spot.exporters.export import export, verify
from tf_spot.exporters.formats import export_onnx, export_saved_model, export_tflite

__all__ = ["export", "export_onnx", "export_saved_model", "export_tflite", "verify"]
