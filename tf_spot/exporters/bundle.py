"""From a spotter to a checked folder, and the same check again."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tf_spot.config import PAPER, Config
from tf_spot.errors import UserError
from tf_spot.exporters import manifest as bundle
from tf_spot.exporters.onnx import QUANTIZATIONS as ONNX_QUANTIZATIONS
from tf_spot.exporters.onnx import write_onnx
from tf_spot.exporters.parity import compare, keras_answers, refuse_if_different
from tf_spot.exporters.parts import Part, sample_photos
from tf_spot.exporters.saved_model import write_saved_model
from tf_spot.exporters.tflite import QUANTIZATIONS as TFLITE_QUANTIZATIONS
from tf_spot.exporters.tflite import float_operations, write_tflite
from tf_spot.spotter import ArtifactSpotter

FORMATS = {"saved_model": ("none",), "tflite": TFLITE_QUANTIZATIONS, "onnx": ONNX_QUANTIZATIONS}
PARITY_PHOTOS, KEPT_PHOTOS, CALIBRATION_PHOTOS = 64, 8, 128
LEAST_CALIBRATION = 100  # fewer photos leave the ranges of activations to chance


def export(
    spotter: ArtifactSpotter,
    path: str | Path,
    *,
    format: str,
    part: str = "features",
    quantize: str = "none",
    photos: np.ndarray | None = None,
    config: Config | None = None,
) -> dict[str, Any]:
    """Writes a part of a spotter as a folder that can be checked and shipped.

    The artifact is reopened with its own runtime and compared with the model before the folder appears.

    Args:
        spotter: a trained `ArtifactSpotter`.
        path: new or empty folder.
        format: `saved_model`, `tflite` or `onnx`.
        part: `features` or `spotter`, see `Part`.
        quantize: `none`; tflite has also `float16`, `dynamic`, `int8` and `int8-integer`, onnx `int8`.
        photos: uint8 (n, size, size, 3), to compare on and to find int8 ranges with; by default the embedded ones.
        config: of the run, for the manifest.

    Returns:
        the manifest.

    Raises:
        UserError: options that do not fit, or an artifact that differs from the model; nothing is left behind.
    """
    _refuse_options(format, quantize)
    exported = Part(spotter, part)
    if photos is None:
        default = (config or PAPER).replace(**{"data.image_size": exported.image_size})
        photos = sample_photos("photos", default, CALIBRATION_PHOTOS)
    _refuse_photos(photos, exported.image_size, quantize)
    checked = photos[:PARITY_PHOTOS]
    expected = keras_answers(exported, checked)
    with _written_aside(Path(path)) as folder:
        artifact = {"saved_model": f"{part}/1"}.get(format, f"{part}.{format}")
        manifest = bundle.describe(exported, format, quantize, artifact, expected, config)
        if format == "saved_model":
            write_saved_model(exported, folder / artifact, photos)
        elif format == "tflite":
            write_tflite(exported, folder / artifact, quantize, photos)
            if quantize.startswith("int8"):
                manifest["float_operations"] = float_operations(folder / artifact)
        else:
            properties = {name: str(manifest[name]) for name in ("part", "quantization", "preprocessing", "commit")}
            write_onnx(exported, folder / artifact, quantize, photos, properties)
        figures = compare(format, folder / artifact, checked, expected)
        refuse_if_different(figures, quantize)
        kept = {name: value[:KEPT_PHOTOS] for name, value in expected.items()}
        return bundle.write_bundle(folder, manifest, figures, checked[:KEPT_PHOTOS], kept)


def verify(path: str | Path) -> dict[str, Any]:
    """Checks an exported folder: every file's sum, and the artifact's answers to the photos kept in the folder.

    Returns:
        {"part", "format", "quantization", "files", "largest_share", "largest_relative_rms"}.

    Raises:
        UserError: the folder is not an export, or was changed, or its artifact differs from the model.
    """
    folder = Path(path)
    manifest = bundle.read_manifest(folder)
    count = bundle.check_sums(folder)
    with np.load(folder / bundle.REFERENCE) as reference:
        expected = {name.split("/")[1]: reference[name] for name in reference.files if name.startswith("outputs/")}
        figures = compare(manifest["format"], folder / manifest["artifact"], reference["photos"], expected)
    refuse_if_different(figures, manifest["quantization"])
    values = [value for outputs in figures.values() for value in outputs.values()]
    return {name: manifest[name] for name in ("part", "format", "quantization")} | {
        "files": count,
        "largest_share": max(value["share"] for value in values),
        "largest_relative_rms": max(value["relative_rms"] for value in values),
    }


def _refuse_options(format: str, quantize: str) -> None:
    if format not in FORMATS:
        raise UserError(f"unknown format; allowed: {', '.join(FORMATS)}; received: {format!r}")
    if quantize not in FORMATS[format]:
        allowed = ", ".join(FORMATS[format])
        raise UserError(f"{format} cannot be quantised so; allowed: {allowed}; received: {quantize!r}")


def _refuse_photos(photos: np.ndarray, size: int, quantize: str) -> None:
    if photos.dtype != np.uint8 or photos.shape[1:] != (size, size, 3) or not len(photos):
        raise UserError(f"photos must be uint8 (n, {size}, {size}, 3); received: {photos.dtype} {photos.shape}")
    if quantize.startswith("int8") and len(photos) < LEAST_CALIBRATION:
        raise UserError(f"int8 wants at least {LEAST_CALIBRATION} real photos for its ranges; received: {len(photos)}")


@contextlib.contextmanager
def _written_aside(path: Path) -> Iterator[Path]:
    """A folder that becomes `path` when all went well and is gone otherwise."""
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise UserError(f"--out must be a new or empty folder; received: {path}; give another")
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.absolute().parent / f".writing-{path.absolute().name}-{os.getpid()}"
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir()
    try:
        yield aside
        if path.exists():
            path.rmdir()
        aside.rename(path)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
