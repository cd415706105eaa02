"""The public functions, one per format."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypedDict, Unpack

import numpy as np

from tf_spot.config import Config
from tf_spot.exporters.export import export
from tf_spot.exporters.signature import Exportable


# Typed dictionaries, so that the three functions pass their keywords on without repeating them and their defaults.
class ExportOptions(TypedDict, total=False):
    """The keywords of every format; `export` describes them and has their defaults."""

    part: str
    image_size: str
    photos: np.ndarray | None
    photos_name: str | None
    config: Config | None
    probe: str | None


class QuantizedExportOptions(ExportOptions, total=False):
    """The keywords of the formats that can be quantised."""

    quantize: str


def export_saved_model(model: Exportable | str, path: str | Path, **options: Unpack[ExportOptions]) -> dict[str, Any]:
    """Write `path`/PART/1/saved_model.pb with the signatures `serving_default`, `image_bytes` and, for maps, more.

    Args:
        model, path: see `export`.
        **options: `part`, `image_size`, `photos`, `photos_name`, `config` and `probe`, see `export`.

    Returns:
        The manifest.

    Raises:
        UserError: see `export`.
    """
    return export(model, path, format="saved_model", **options)


def export_tflite(
    model: Exportable | str, path: str | Path, **options: Unpack[QuantizedExportOptions]
) -> dict[str, Any]:
    """Write `path`/PART.tflite with the signature `serving_default`.

    Args:
        model, path: see `export`.
        **options: `part`, `quantize`, `image_size`, `photos`, `photos_name`, `config` and `probe`, see `export`.

    Returns:
        The manifest.

    Raises:
        UserError: see `export`.
    """
    return export(model, path, format="tflite", **options)


def export_onnx(model: Exportable | str, path: str | Path, **options: Unpack[QuantizedExportOptions]) -> dict[str, Any]:
    """Write `path`/PART.onnx, whose batch size is free.

    Args:
        model, path: see `export`.
        **options: `part`, `quantize`, `image_size`, `photos`, `photos_name`, `config` and `probe`, see `export`.

    Returns:
        The manifest.

    Raises:
        UserError: see `export`.
    """
    return export(model, path, format="onnx", **options)
