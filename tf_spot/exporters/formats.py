"""One function a format, for Python."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tf_spot.config import Config
from tf_spot.exporters.bundle import export
from tf_spot.spotter import ArtifactSpotter


def export_saved_model(
    spotter: ArtifactSpotter,
    path: str | Path,
    *,
    part: str = "features",
    photos: np.ndarray | None = None,
    config: Config | None = None,
) -> dict[str, Any]:
    """`path`/PART/1/saved_model.pb with the signatures `serving_default` and `image_bytes`: see `export`."""
    return export(spotter, path, format="saved_model", part=part, photos=photos, config=config)


def export_tflite(
    spotter: ArtifactSpotter,
    path: str | Path,
    *,
    part: str = "features",
    quantize: str = "none",
    photos: np.ndarray | None = None,
    config: Config | None = None,
) -> dict[str, Any]:
    """`path`/PART.tflite with the signature `serving_default`: see `export`."""
    return export(spotter, path, format="tflite", part=part, quantize=quantize, photos=photos, config=config)


def export_onnx(
    spotter: ArtifactSpotter,
    path: str | Path,
    *,
    part: str = "features",
    quantize: str = "none",
    photos: np.ndarray | None = None,
    config: Config | None = None,
) -> dict[str, Any]:
    """`path`/PART.onnx, batch size free: see `export`."""
    return export(spotter, path, format="onnx", part=part, quantize=quantize, photos=photos, config=config)
