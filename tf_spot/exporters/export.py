"""From a trained network to a checked folder, and the same check again."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tf_spot.config import PAPER, Config
from tf_spot.errors import UserError
from tf_spot.exporters import manifest as bundle
from tf_spot.exporters import onnx, tflite
from tf_spot.exporters import requirements as runtimes
from tf_spot.exporters import run_artifact as reopen
from tf_spot.exporters.onnx import write_onnx
from tf_spot.exporters.parity import (
    Answers,
    Figures,
    artifact_answers,
    keras_answers,
    measure,
    other_sizes,
    refuse_if_different,
    refuse_if_worse,
    refuse_other_names,
)
from tf_spot.exporters.probe import open_labelled, probe_both
from tf_spot.exporters.saved_model import write_saved_model
from tf_spot.exporters.signature import Model, Part, sample_photos
from tf_spot.exporters.tflite import write_tflite

FORMATS = {"saved_model": ("none",), "tflite": tflite.QUANTIZATIONS, "onnx": onnx.QUANTIZATIONS}
FLOAT_OPERATIONS = {"tflite": tflite.float_operations, "onnx": onnx.float_operations}
PARITY_PHOTOS, KEPT_PHOTOS, CALIBRATION_PHOTOS = 64, 8, 128
LEAST_CALIBRATION = 100  # fewer photos leave the ranges of activations to chance
IMAGE_SIZES = ("fixed", "dynamic")


def export(
    model: Model,
    path: str | Path,
    *,
    format: str,
    part: str = "features",
    quantize: str = "none",
    image_size: str = "fixed",
    photos: np.ndarray | None = None,
    config: Config | None = None,
    probe: str | None = None,
) -> dict[str, Any]:
    """Writes a part of a trained network as a folder that can be checked and shipped.

    The artifact is reopened with its own runtime and compared with the model before the folder appears.

    Args:
        model: a trained `ArtifactSpotter`; a trained `Classifier` for the part `classifier`.
        path: new or empty folder.
        format: `saved_model`, `tflite` or `onnx`.
        part: `features`, `spotter` or `classifier`, see `Part`.
        quantize: `none`; tflite has also `float16`, `dynamic`, `int8` and `int8-integer`, onnx `int8`.
        image_size: `fixed`: that of the run; `dynamic`: images of any height and width, part `features` only, not with
            int8; it is compared at two more sizes then.
        photos: uint8 (n, size, size, 3), to compare on and to find int8 ranges with; by default the embedded ones.
        config: of the run, for the manifest, and how the photos of `probe` become images.
        probe: labelled photos with a test split, see `tf_spot.load`: the manifest then has the linear probe of the
            artifact's embedding beside that of the model's, see `probe_both`. Part `features` only.

    Returns:
        the manifest.

    Raises:
        UserError: options that do not fit, a package that is missing, or an artifact that differs from the model;
            nothing is left behind.
    """
    _refuse_options(format, part, quantize, probe)
    _refuse_size(image_size, quantize)
    runtimes.require(format, write=True)
    exported = Part(model, part, any_size=image_size == "dynamic")
    if photos is None:
        photos = sample_photos("photos", _reading(config, exported), CALIBRATION_PHOTOS)
    _refuse_photos(photos, exported.image_size, quantize)
    labelled = None if probe is None else open_labelled(probe, _reading(config, exported))
    checked = photos[:PARITY_PHOTOS]
    expected, others = keras_answers(exported, checked), other_sizes(checked) if exported.any_size else {}
    with _written_aside(Path(path)) as folder:
        name = {"saved_model": f"{part}/1"}.get(format, f"{part}.{format}")
        artifact = folder / name
        manifest = bundle.describe(exported, format, quantize, name, expected, config)
        _write(exported, artifact, format, quantize, photos, manifest)
        if quantize.startswith("int8"):
            manifest["float_operations"] = FLOAT_OPERATIONS[format](artifact)
        found = artifact_answers(format, artifact, checked, others)
        expected_others = {size: keras_answers(exported, resized) for size, resized in others.items()}
        manifest |= _figures(exported, found, expected, expected_others, quantize)
        if labelled is not None:
            manifest["linear_probe"] = probe_both(exported, reopen.OPEN[format](str(artifact)), labelled)
        return bundle.write_bundle(folder, manifest, checked[:KEPT_PHOTOS], _kept(expected))


def verify(path: str | Path) -> dict[str, Any]:
    """Checks an exported folder: every file's sum, and the artifact's answers to the photos kept in the folder.

    They may differ from the model's no more than an export allows, and not clearly more than they did then.

    Returns:
        {"part", "format", "quantization", "files", "largest_share", "largest_relative_rms"}.

    Raises:
        UserError: the folder is not an export, or was changed, a package that runs it is missing, or its artifact
            differs from the model.
    """
    folder = Path(path)
    manifest = bundle.read_manifest(folder)
    count = bundle.check_sums(folder)
    runtimes.require(manifest["format"], write=False)
    with np.load(folder / bundle.REFERENCE) as reference:
        expected = {name.split("/")[1]: reference[name] for name in reference.files if name.startswith("outputs/")}
        found = artifact_answers(manifest["format"], folder / manifest["artifact"], reference["photos"])
    refuse_other_names(found, manifest["class_names"])
    figures = measure(found, expected)
    refuse_if_different(figures, manifest["quantization"])
    refuse_if_worse(figures, manifest["reference_parity"])
    values = [value for outputs in figures.values() for value in outputs.values()]
    return {name: manifest[name] for name in ("part", "format", "quantization")} | {
        "files": count,
        "largest_share": max(value["share"] for value in values),
        "largest_relative_rms": max(value["relative_rms"] for value in values),
    }


def _write(part: Part, path: Path, format: str, quantize: str, photos: np.ndarray, manifest: dict[str, Any]) -> None:
    if format == "saved_model":
        write_saved_model(part, path, photos)
    elif format == "tflite":
        write_tflite(part, path, quantize, photos)
    else:
        properties = {name: str(manifest[name]) for name in ("part", "quantization", "preprocessing", "commit")}
        if part.class_names is not None:
            properties["class_names"] = json.dumps(part.class_names)
        write_onnx(part, path, quantize, photos, properties)


def _figures(
    part: Part, found: Answers, expected: Answers, others: dict[str, Answers], quantize: str
) -> dict[str, Figures]:
    """`parity` of all photos, which must be good enough, and `reference_parity` of those that are kept."""
    refuse_other_names(found, part.class_names)
    parity = measure(found, expected, others)
    refuse_if_different(parity, quantize)
    own = {name: value for name, value in found.items() if " at " not in name}
    return {"parity": parity, "reference_parity": measure(_kept(own), _kept(expected))}


def _kept(answers: Answers) -> Answers:
    return {name: value[:KEPT_PHOTOS] for name, value in answers.items()}


def _reading(config: Config | None, part: Part) -> Config:
    """How photos become images for this part."""
    return (config or PAPER).replace(**{"data.image_size": part.image_size})


def _refuse_options(format: str, part: str, quantize: str, probe: str | None) -> None:
    if format not in FORMATS:
        raise UserError(f"unknown format; allowed: {', '.join(FORMATS)}; received: {format!r}")
    if quantize not in FORMATS[format]:
        allowed = ", ".join(FORMATS[format])
        raise UserError(f"{format} cannot be quantised so; allowed: {allowed}; received: {quantize!r}")
    if probe is not None and part != "features":
        raise UserError(f"a probe is of the embedding, which part features gives; received: part {part}")


def _refuse_size(image_size: str, quantize: str) -> None:
    if image_size not in IMAGE_SIZES:
        raise UserError(f"--image-size must be one of {', '.join(IMAGE_SIZES)}; received: {image_size!r}")
    if image_size == "dynamic" and quantize.startswith("int8"):
        raise UserError(
            f"--image-size dynamic is not for int8, whose ranges are found at one size; received: {quantize}; leave "
            "one of the two out"
        )


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
