"""One function a format, for Python."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tf_spot.config import Config
from tf_spot.exporters.export import export
from tf_spot.exporters.signature import Model


def export_saved_model(
    model: Model,
    path: str | Path,
    *,
    part: str = "features",
    image_size: str = "fixed",
    photos: np.ndarray | None = None,
    config: Config | None = None,
    probe: str | None = None,
) -> dict[str, Any]:
    """`path`/PART/1/saved_model.pb with the signatures `serving_default` and `image_bytes`: see `export`."""
    return export(
        model,
        path,
        format="saved_model",
        part=part,
        image_size=image_size,
        photos=photos,
        config=config,
        probe=probe,
    )


def export_tflite(
    model: Model,
    path: str | Path,
    *,
    part: str = "features",
    quantize: str = "none",
    image_size: str = "fixed",
    photos: np.ndarray | None = None,
    config: Config | None = None,
    probe: str | None = None,
) -> dict[str, Any]:
    """`path`/PART.tflite with the signature `serving_default`: see `export`."""
    return export(
        model,
        path,
        format="tflite",
        part=part,
        quantize=quantize,
        image_size=image_size,
        photos=photos,
        config=config,
        probe=probe,
    )


def export_onnx(
    model: Model,
    path: str | Path,
    *,
    part: str = "features",
    quantize: str = "none",
    image_size: str = "fixed",
    photos: np.ndarray | None = None,
    config: Config | None = None,
    probe: str | None = None,
) -> dict[str, Any]:
    """`path`/PART.onnx, batch size free: see `export`."""
    return export(
        model,
        path,
        format="onnx",
        part=part,
        quantize=quantize,
        image_size=image_size,
        photos=photos,
        config=config,
        probe=probe,
    )
