"""What lies beside an artifact: manifest.json, reference answers, a model card and SHA256SUMS."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from tf_spot.errors import UserError
from tf_spot.exporters import requirements as runtimes
from tf_spot.exporters.signature import OUTPUTS, Part
from tf_spot.storage.files import file_digest, write_json, write_text
from tf_spot.storage.provenance import versions

MANIFEST, SUMS, REFERENCE, CARD = "manifest.json", "SHA256SUMS", "reference.npz", "README.md"
_KEYS = ("part", "format", "quantization", "artifact", "inputs", "class_names", "config", "parity", "reference_parity")
RESIZING = (
    "signature image_bytes: JPEG or PNG; the whole photo, turned as its EXIF orientation says, squeezed into the "
    "square with antialiasing; transparency is dropped"
)


def describe(
    part: Part, kind: str, quantization: str, artifact: str, expected: dict[str, np.ndarray], config: Any
) -> dict[str, Any]:
    """The manifest as far as it is known before the artifact is checked."""
    now = versions()
    side = None if part.any_size else part.image_size
    return {
        "part": part.name,
        "format": kind,
        "quantization": quantization,
        "artifact": artifact,
        "inputs": {
            "images": {
                "dtype": "float32",
                "shape": ["batch", side, side, 3],  # None: any
                "trained_size": part.image_size,
                "range": [0, 255],
                "order": "RGB",
            }
        },
        "outputs": {
            name: {"dtype": "float32", "shape": _shape(part, value), "meaning": OUTPUTS[name]}
            for name, value in expected.items()
        },
        "preprocessing": "normalisation is inside the artifact" + (f"; {RESIZING}" if kind == "saved_model" else ""),
        "class_names": part.class_names,
        "config": config.to_dict() if config is not None else None,
        "commit": now["commit"],
        "versions": now["packages"] | runtimes.versions(kind) | {"python": now["python"]},
    }


def _shape(part: Part, value: np.ndarray) -> list[Any]:
    """Of an output; the height and width of a map follow those of the images, where these may be any."""
    if part.any_size and value.ndim == 4:
        return ["batch", None, None, value.shape[3]]
    return ["batch", *value.shape[1:]]


def write_bundle(
    folder: Path, manifest: dict[str, Any], photos: np.ndarray, expected: dict[str, np.ndarray]
) -> dict[str, Any]:
    """Writes everything beside the artifact; SHA256SUMS last. Gives the full manifest."""
    np.savez_compressed(
        folder / REFERENCE, photos=photos, allow_pickle=False, **{f"outputs/{k}": v for k, v in expected.items()}
    )
    artifact = folder / manifest["artifact"]
    size = sum(file.stat().st_size for file in files(artifact)) if artifact.is_dir() else artifact.stat().st_size
    full = manifest | {"size_bytes": size}
    write_json(folder / MANIFEST, full)
    write_text(folder / CARD, _card(full))
    lines = [f"{file_digest(file)}  {file.relative_to(folder).as_posix()}\n" for file in files(folder)]
    write_text(folder / SUMS, "".join(lines))
    return full


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of an exported folder.

    Raises:
        UserError: there is none, it cannot be read, or it is of another version.
    """
    try:
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"a folder that tf-spot export wrote is wanted; received: {folder}") from error
    missing = [name for name in _KEYS if name not in manifest]
    if missing:
        raise UserError(f"{MANIFEST} of {folder} lacks {', '.join(missing)}: another version wrote it; export it again")
    return manifest


def check_sums(folder: Path) -> int:
    """How many files SHA256SUMS lists, all of which are there and unchanged.

    Raises:
        UserError: a file is missing, changed or not listed.
    """
    try:
        lines = (folder / SUMS).read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise UserError(f"{folder} has no {SUMS}; export it again") from error
    listed = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    present = {file.relative_to(folder).as_posix(): file for file in files(folder) if file.name != SUMS}
    for name in sorted(listed.keys() | present.keys()):
        if name not in present:
            raise UserError(f"{name} is missing from {folder}; copy or export it again")
        if name not in listed:
            raise UserError(f"{name} is not in {SUMS} of {folder}; remove it")
        if file_digest(present[name]) != listed[name]:
            raise UserError(f"{name} in {folder} was changed after the export; copy or export it again")
    return len(listed)


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _card(manifest: dict[str, Any]) -> str:
    outputs = "\n".join(
        f"| `{name}` | ({_told(output['shape'])}) | {output['meaning']} |"
        for name, output in manifest["outputs"].items()
    )
    worst = max(values["share"] for outputs in manifest["parity"].values() for values in outputs.values())
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

{_learned(manifest["class_names"])} The artifact is `{manifest["artifact"]}`, {manifest["size_bytes"]:,} bytes.

Input `images`: float32 ({_told(images["shape"])}), RGB in [0, 255]; {manifest["preprocessing"]}.{any_size}

| output | shape | meaning |
|---|---|---|
{outputs}

Checked on photos against the model it was made from: largest difference {worst:.1e} of the output's largest value.
{_quantized(manifest)}Check again: `tf-spot verify` on this folder, or `sha256sum -c SHA256SUMS` for the files alone.
Versions, configuration and every figure: `manifest.json`.
"""


def _told(shape: list[Any]) -> str:
    return ", ".join("any" if size is None else str(size) for size in shape)


def _learned(class_names: list[str] | None) -> str:
    if class_names is None:
        return "Features learned without labels by spotting artifacts."
    return f"A classifier of {len(class_names)} classes, on features learned without labels by spotting artifacts."


def _quantized(manifest: dict[str, Any]) -> str:
    """What stays float and what the probe found, where that is known."""
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
