"""Export a trained network as a folder that was checked, and check such a folder again."""

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
from tf_spot.exporters import onnx, requirements, tflite
from tf_spot.exporters.manifest import (
    REFERENCE,
    Manifest,
    artifact_path,
    check_sums,
    describe,
    read_manifest,
    write_bundle,
)
from tf_spot.exporters.parity import (
    Differences,
    artifact_outputs,
    keras_outputs,
    measure,
    other_sizes,
    refuse_if_different,
    refuse_if_worse,
    refuse_other_names,
)
from tf_spot.exporters.probe import open_labelled, probe_both
from tf_spot.exporters.run_artifact import OPEN, Outputs
from tf_spot.exporters.saved_model import answers, write_saved_model
from tf_spot.exporters.signature import BUNDLED, Exportable, Signature, sample_photos
from tf_spot.runs.cards import pretrained_card
from tf_spot.runs.load import load_backbone
from tf_spot.runs.run import recipe_of
from tf_spot.storage.names import fitting

FORMATS = {"saved_model": ("none",), "tflite": tflite.QUANTIZATIONS, "onnx": onnx.QUANTIZATIONS}
FLOAT_OPERATIONS = {"tflite": tflite.float_operations, "onnx": onnx.float_operations}
PARITY_PHOTOS, KEPT_PHOTOS, CALIBRATION_PHOTOS = 64, 8, 128
MIN_CALIBRATION_PHOTOS = 100  # with fewer the ranges of activations are left to chance
IMAGE_SIZES = ("fixed", "dynamic")


# --- export and verify ------------------------------------------------------------------------------------------------


def export(
    model: Exportable | str,
    path: str | Path,
    *,
    format: str,
    part: str = "features",
    quantize: str = "none",
    image_size: str = "fixed",
    photos: np.ndarray | None = None,
    photos_name: str | None = None,
    config: Config | None = None,
    probe: str | None = None,
) -> dict[str, Any]:
    """Write a part of a trained network as a folder that can be checked and shipped.

    The artifact is opened again with its own runtime and compared with the model before the folder appears.

    Args:
        model: a trained `ArtifactSpotter`; a trained `Classifier` for the part `classifier`; for `features` also the
            name of a backbone that comes with the package, see `load_pretrained`.
        path: new or empty folder.
        format: `saved_model`, `tflite` or `onnx`.
        part: `features`, `spotter` or `classifier`, see `Signature`.
        quantize: `none`; tflite has also `float16`, `dynamic`, `int8` and `int8-integer`, onnx `int8`.
        image_size: `fixed`: that of the run; `dynamic`: images of any height and width, part `features` only, not with
            int8; the artifact is then compared at two further sizes.
        photos: uint8 (photos, size, size, 3), to compare on and to find int8 ranges with; by default the bundled ones.
        photos_name: what the manifest calls `photos`.
        config: of the run (of a name its own), for the manifest, and how the photos of `probe` become images.
        probe: labelled photos with a test split, see `tf_spot.load`: adds the linear probe of the artifact's embedding
            beside that of the model's to the manifest, see `probe_both`. Part `features` only.

    Returns:
        The manifest.

    Raises:
        UserError: options that do not fit, a missing package, or an artifact that differs from the model; nothing is
            left behind.
    """
    _refuse_options(format, part, quantize, probe)
    _refuse_size(image_size, quantize)
    card = None
    if isinstance(model, str):
        card, config, model = pretrained_card(model), recipe_of(model), load_backbone(model)
    requirements.require(format, write=True)
    signature = Signature(model, part, any_size=image_size == "dynamic")
    # The model knows the size of its images, even where no configuration is given.
    data_config = (config or PAPER).replace(**{"data.image_size": signature.image_size})
    if photos is None:
        photos, photos_name = sample_photos("photos", data_config, CALIBRATION_PHOTOS), BUNDLED
    _refuse_photos(photos, signature.image_size, quantize)
    labelled = None if probe is None else open_labelled(probe, data_config)
    checked = photos[:PARITY_PHOTOS]
    expected = keras_outputs(signature, checked)
    with _new_folder(Path(path)) as folder:
        name = {"saved_model": f"{part}/1"}.get(format, f"{part}.{format}")
        manifest = describe(signature, format, quantize, name, expected, config)
        if card is not None:
            manifest["weights"] = {fact: card.get(fact) for fact in ("name", "sha256", "data", "licence", "limits")}
        calibrated = len(photos) if quantize.startswith("int8") else 0
        manifest["photos"] = {"data": photos_name, "compared": len(checked), "calibrated": calibrated}
        if format == "saved_model":
            manifest["signatures"] = {key: output or "all" for key, output in answers(part).items()}
        _write(signature, folder / name, photos, manifest)
        if quantize.startswith("int8"):
            manifest["float_operations"] = FLOAT_OPERATIONS[format](folder / name)
        manifest |= _compare(signature, folder, manifest, checked, expected)
        if labelled is not None:
            manifest["linear_probe"] = probe_both(signature, OPEN[format](str(folder / name)), labelled)
        return write_bundle(folder, manifest, checked[:KEPT_PHOTOS], _kept(expected))


def verify(path: str | Path) -> dict[str, Any]:
    """Check an exported folder: the checksum of every file, and the artifact's outputs for the photos kept in it.

    These may differ from the model's no more than an export allows, and not clearly more than at the export.

    Returns:
        {"part", "format", "quantization", "files", "largest_share", "largest_relative_rms"}.

    Raises:
        UserError: the folder is not an export, or was changed, a package that runs it is missing, or its artifact
            differs from the model.
    """
    folder = Path(path)
    manifest = read_manifest(folder)
    count = check_sums(folder)
    requirements.require(manifest["format"], write=False)
    with np.load(folder / REFERENCE) as reference:
        expected = {name.split("/")[1]: reference[name] for name in reference.files if name.startswith("outputs/")}
        outputs = artifact_outputs(manifest["format"], artifact_path(folder, manifest), reference["photos"])
    refuse_other_names(outputs, manifest["class_names"])
    differences = measure(outputs, expected)
    refuse_if_different(differences, manifest["quantization"])
    refuse_if_worse(differences, manifest["reference_parity"])
    values = [value for by_output in differences.values() for value in by_output.values()]  # of all batch sizes
    return {name: manifest[name] for name in ("part", "format", "quantization")} | {
        "files": count,
        "largest_share": max(value["share"] for value in values),
        "largest_relative_rms": max(value["relative_rms"] for value in values),
    }


# --- steps of an export -----------------------------------------------------------------------------------------------


def _write(signature: Signature, path: Path, photos: np.ndarray, manifest: Manifest) -> None:
    """Write the artifact that the manifest describes."""
    if manifest["format"] == "saved_model":
        write_saved_model(signature, path, photos)
    elif manifest["format"] == "tflite":
        tflite.write_tflite(signature, path, manifest["quantization"], photos)
    else:
        properties = {name: str(manifest[name]) for name in ("part", "quantization", "preprocessing", "commit")}
        if signature.class_names is not None:
            properties["class_names"] = json.dumps(signature.class_names)
        onnx.write_onnx(signature, path, manifest["quantization"], photos, properties)


def _compare(
    signature: Signature, folder: Path, manifest: Manifest, photos: np.ndarray, expected: Outputs
) -> dict[str, Differences]:
    """Compare the artifact with the model, and refuse it if it differs.

    Returns:
        `parity` of all photos, `reference_parity` of those that are kept for `verify`.
    """
    resized = other_sizes(photos) if signature.any_size else {}
    outputs = artifact_outputs(manifest["format"], folder / manifest["artifact"], photos, resized)
    refuse_other_names(outputs, signature.class_names)
    others = {size: keras_outputs(signature, values) for size, values in resized.items()}
    parity = measure(outputs, expected, others)
    refuse_if_different(parity, manifest["quantization"])
    at_own_size = {name: value for name, value in outputs.items() if " at " not in name}
    return {"parity": parity, "reference_parity": measure(_kept(at_own_size), _kept(expected))}


def _kept(outputs: Outputs) -> Outputs:
    return {name: value[:KEPT_PHOTOS] for name, value in outputs.items()}


@contextlib.contextmanager
def _new_folder(path: Path) -> Iterator[Path]:
    """Yield a folder that becomes `path` if the body succeeds and is removed otherwise."""
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise UserError(f"--out must be a new or empty folder; received: {path}; give another")
    path.parent.mkdir(parents=True, exist_ok=True)
    # On the same file system as `path`, or the rename would not be atomic.
    aside = path.absolute().parent / fitting(f".writing-{path.absolute().name}", f"-{os.getpid()}")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir()
    try:
        yield aside
        if path.exists():
            path.rmdir()
        aside.rename(path)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


# --- refusals ---------------------------------------------------------------------------------------------------------


def _refuse_options(format: str, part: str, quantize: str, probe: str | None) -> None:
    if format not in FORMATS:
        raise UserError(f"unknown format; allowed: {', '.join(FORMATS)}; received: {format!r}")
    if quantize not in FORMATS[format]:
        allowed = ", ".join(FORMATS[format])
        raise UserError(f"{format} has no such quantisation; allowed: {allowed}; received: {quantize!r}")
    if probe is not None and part != "features":
        raise UserError(f"--probe needs the embedding, which part features gives; received: part {part}")


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
    if quantize.startswith("int8") and len(photos) < MIN_CALIBRATION_PHOTOS:
        raise UserError(
            f"int8 needs at least {MIN_CALIBRATION_PHOTOS} real photos for its ranges; received: {len(photos)}"
        )
