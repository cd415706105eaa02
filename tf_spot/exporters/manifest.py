"""The files beside an artifact: manifest.json, reference outputs, a model card and SHA256SUMS."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tf_spot.config import Config
from tf_spot.errors import UserError
from tf_spot.exporters import requirements
from tf_spot.exporters.signature import OUTPUTS, Signature
from tf_spot.storage.contained_path import contained_path
from tf_spot.storage.files import file_digest, write_json, write_text
from tf_spot.storage.json_files import Form, damaged, mismatch, read_json
from tf_spot.storage.provenance import versions
from tf_spot.storage.regular_files import open_regular

MANIFEST, SUMS, REFERENCE, CARD = "manifest.json", "SHA256SUMS", "reference.npz", "README.md"
_FORM: dict[str, Form] = {  # of a manifest, at least
    "part": str,
    "format": str,
    "quantization": str,
    "artifact": str,
    "inputs": {"images": {"shape": list, "trained_size": int}},
    "class_names": (list, type(None)),
    "config": (dict, type(None)),
    "parity": dict,
    "reference_parity": dict,
}
RESIZING = (
    "signature image_bytes: JPEG or PNG; the whole photo, turned as its EXIF orientation says, squeezed into the "
    "square with antialiasing; transparency is dropped"
)

Manifest = dict[str, Any]  # the JSON object, see `describe` and `export`
Shape = list[str | int | None]  # "batch" for the batch size; None: any


# --- what the artifact is ---------------------------------------------------------------------------------------------


def describe(
    signature: Signature,
    format: str,
    quantization: str,
    artifact: str,
    expected: dict[str, np.ndarray],
    config: Config | None,
) -> Manifest:
    """Return the manifest as far as it is known before the artifact is checked.

    Args:
        signature: what is exported.
        format: `saved_model`, `tflite` or `onnx`.
        quantization: of the weights and activations, or `none`.
        artifact: path of the artifact inside the exported folder.
        expected: outputs of the model by name, (photos, ...) each.
        config: of the run, if known.
    """
    now = versions()
    side = None if signature.any_size else signature.image_size
    return {
        "part": signature.name,
        "format": format,
        "quantization": quantization,
        "artifact": artifact,
        "inputs": {
            "images": {
                "dtype": "float32",
                "shape": ["batch", side, side, 3],
                "trained_size": signature.image_size,
                "range": [0, 255],
                "order": "RGB",
            }
        },
        "outputs": {
            name: {"dtype": "float32", "shape": _output_shape(signature, value), "meaning": OUTPUTS[name]}
            for name, value in expected.items()
        },
        "preprocessing": "normalisation is inside the artifact" + (f"; {RESIZING}" if format == "saved_model" else ""),
        "class_names": signature.class_names,
        "config": config.to_dict() if config is not None else None,
        "commit": now["commit"],
        "versions": now["packages"] | requirements.versions(format) | {"python": now["python"]},
    }


def _output_shape(signature: Signature, value: np.ndarray) -> Shape:
    if signature.any_size and value.ndim == 4:  # the size of a map follows that of the images
        return ["batch", None, None, value.shape[3]]
    return ["batch", *value.shape[1:]]


# --- writing ----------------------------------------------------------------------------------------------------------


def write_bundle(folder: Path, manifest: Manifest, photos: np.ndarray, expected: dict[str, np.ndarray]) -> Manifest:
    """Write everything that stands beside the artifact, SHA256SUMS last.

    Args:
        folder: has the artifact already.
        manifest: complete but for the size of the artifact.
        photos: uint8 (photos, size, size, 3), which `tf-spot verify` will run again.
        expected: outputs of the model for these photos by name, (photos, ...) each.

    Returns:
        The complete manifest.
    """
    np.savez_compressed(
        folder / REFERENCE, photos=photos, allow_pickle=False, **{f"outputs/{k}": v for k, v in expected.items()}
    )
    artifact = folder / manifest["artifact"]
    size = sum(file.stat().st_size for file in _files(artifact)) if artifact.is_dir() else artifact.stat().st_size
    full = manifest | {"size_bytes": size}
    write_json(folder / MANIFEST, full)
    write_text(folder / CARD, _card(full))
    # Two spaces between digest and name: the form that `sha256sum -c` reads.
    lines = [f"{file_digest(file)}  {file.relative_to(folder).as_posix()}\n" for file in _files(folder)]
    write_text(folder / SUMS, "".join(lines))
    return full


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


# --- reading ----------------------------------------------------------------------------------------------------------


def read_manifest(folder: Path) -> Manifest:
    """Return the manifest of an exported folder.

    Raises:
        UserError: the folder has none, it cannot be read, or another version wrote it.
    """
    try:
        manifest: Manifest = read_json(folder / MANIFEST)
    except OSError as error:
        raise UserError(
            f"the folder must be one that tf-spot export wrote; received: {folder}, whose {MANIFEST} is missing or "
            "cannot be read"
        ) from error
    missing = [name for name in _FORM if name not in manifest]
    if missing:
        raise UserError(f"{MANIFEST} of {folder} lacks {', '.join(missing)}: another version wrote it; export it again")
    wrong = mismatch(manifest, _FORM)
    if wrong is not None:
        raise damaged(folder / MANIFEST, wrong)
    return manifest


def artifact_path(folder: Path, manifest: Manifest) -> Path:
    """Return the path of the artifact: inside the folder, and covered by SHA256SUMS.

    Raises:
        UserError: the manifest names another path.
    """
    path = contained_path(folder, manifest["artifact"], MANIFEST)
    name = path.relative_to(folder).as_posix()
    if not any(listed == name or listed.startswith(f"{name}/") for listed in _listed(folder)):
        raise UserError(f"{MANIFEST} of {folder} must name an artifact in {SUMS}; received: {name}; export it again")
    return path


def check_sums(folder: Path) -> int:
    """Compare every file of an exported folder with SHA256SUMS and return how many are listed.

    Raises:
        UserError: a file is missing, changed or not listed, or something is no regular file.
    """
    listed = _listed(folder)
    for path in folder.rglob("*"):
        if not path.is_file() and not path.is_dir():
            raise UserError(f"{path.relative_to(folder)} in {folder} is no regular file; remove it")
    present = {file.relative_to(folder).as_posix(): file for file in _files(folder) if file.name != SUMS}
    for name in sorted(listed.keys() | present.keys()):
        if name not in present:
            raise UserError(f"{name} is missing from {folder}; copy or export it again")
        if name not in listed:
            raise UserError(f"{name} is not in {SUMS} of {folder}; remove it")
        if file_digest(present[name]) != listed[name]:
            raise UserError(f"{name} in {folder} was changed after the export; copy or export it again")
    return len(listed)


def _listed(folder: Path) -> dict[str, str]:
    """Return {file: digest}, as SHA256SUMS lists them."""
    try:
        with open_regular(folder / SUMS) as file:
            lines = file.read().decode("utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise UserError(f"{folder} has no {SUMS} that can be read; export it again") from error
    return {name: digest for digest, _, name in (line.partition("  ") for line in lines)}


# --- the model card ---------------------------------------------------------------------------------------------------


def _card(manifest: Manifest) -> str:
    outputs = "\n".join(
        f"| `{name}` | ({_shape_text(output['shape'])}) | {output['meaning']} |"
        for name, output in manifest["outputs"].items()
    )
    largest = max(values["share"] for outputs in manifest["parity"].values() for values in outputs.values())
    images = manifest["inputs"]["images"]
    size = images["trained_size"]
    any_size = (
        f" Height and width may be any; the model was trained at {size}x{size}." if None in images["shape"] else ""
    )
    kind = "classification" if manifest["class_names"] else "feature-extraction"
    return f"""---
library_name: tf-spot
tags: [self-supervised-learning, image-{kind}]
---
# {manifest["part"]}, {manifest["format"]}, quantisation {manifest["quantization"]}

{_origin(manifest["class_names"])} The artifact is `{manifest["artifact"]}`, {manifest["size_bytes"]:,} bytes.

Input `images`: float32 ({_shape_text(images["shape"])}), RGB in [0, 255]; {manifest["preprocessing"]}.{any_size}

| output | shape | meaning |
|---|---|---|
{outputs}
{_signatures(manifest)}
{_weights(manifest.get("weights"))}{_checked(manifest["photos"])}
Largest difference to the model it was made from: {largest:.1e} of the output's largest value.
{_quantized(manifest)}Check again: `tf-spot verify` on this folder, or `sha256sum -c SHA256SUMS` for the files alone.
Versions, configuration and every figure: `manifest.json`.
"""


def _shape_text(shape: Shape) -> str:
    return ", ".join("any" if size is None else str(size) for size in shape)


def _origin(class_names: list[str] | None) -> str:
    if class_names is None:
        return "Features learned without labels by spotting artifacts."
    return f"A classifier of {len(class_names)} classes, on features learned without labels by spotting artifacts."


def _weights(weights: dict[str, Any] | None) -> str:
    """Return what the user of weights that came with the package must know, and nothing for other weights."""
    if weights is None:
        return ""
    limits = "".join(f"- {limit}\n" for limit in weights["limits"] or ())
    return f"The weights are `{weights['name']}`, from tf_spot. Licence: {weights['licence']}. Limits:\n\n{limits}\n"


def _checked(photos: dict[str, Any]) -> str:
    name = photos["data"] or "photos of the caller"
    calibrated = f"Calibrated on {photos['calibrated']} photos, checked" if photos["calibrated"] else "Checked"
    return f"{calibrated} on {photos['compared']}: {name}."


def _signatures(manifest: Manifest) -> str:
    """Return the lines on the signatures of a SavedModel, and nothing for other formats."""
    lines = [f"| `{name}` | {output} |\n" for name, output in manifest.get("signatures", {}).items()]
    return "\n| signature | outputs |\n|---|---|\n" + "".join(lines) if lines else ""


def _quantized(manifest: Manifest) -> str:
    """Return the lines on what is still computed in float, and on the linear probe, as far as these are known."""
    lines = []
    if "float_operations" in manifest:
        lines.append(f"Computed in float all the same: {', '.join(manifest['float_operations']) or 'nothing'}.\n")
    if "linear_probe" in manifest:
        probe = manifest["linear_probe"]
        lines.append(
            f"Linear probe of the embedding on {probe['data']}: {probe['artifact']} %, of the float32 model "
            f"{probe['float32']} % (standard error {probe['stderr']}).\n"
        )
    return "".join(lines)
