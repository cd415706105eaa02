"""Compare an artifact, in its own runtime, with the Keras model that it was made from."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import tensorflow as tf

from tf_spot.errors import UserError
from tf_spot.exporters import run_artifact
from tf_spot.exporters.run_artifact import Outputs
from tf_spot.exporters.signature import Signature

TOLERANCE = 1e-4  # float32: largest difference as a share of the output's largest absolute value
WORST_QUANTIZED = 0.25  # relative rms error of a quantised output: more is of no use; one that is always 0 has 1
CLEARLY_WORSE = 2.0  # times the recorded relative rms error: other CPUs and versions round differently
CHUNK = 64  # photos in one call of the model
OTHER_SIZES = 7  # photos compared at each further size, for an artifact that takes any
TINY = float(np.finfo(np.float32).tiny)  # a denominator instead of 0

Differences = dict[str, dict[str, dict[str, float]]]  # by batch size, output and metric


# --- outputs ----------------------------------------------------------------------------------------------------------


def keras_outputs(signature: Signature, photos: np.ndarray) -> Outputs:
    """Return the model's own outputs, computed on the CPU, where artifacts are checked too.

    Args:
        signature: of the model.
        photos: uint8 (photos, height, width, 3).

    Returns:
        float32 (photos, ...) by output name.
    """
    with tf.device("CPU:0"):
        chunks = [
            signature.images(tf.constant(photos[start : start + CHUNK], tf.float32))
            for start in range(0, len(photos), CHUNK)
        ]
    return {name: np.concatenate([chunk[name].numpy() for chunk in chunks]) for name in chunks[0]}


def other_sizes(photos: np.ndarray) -> dict[str, np.ndarray]:
    """Resize some photos to two further sizes, for an artifact that takes any.

    One is not square; the other has an odd side, so it is no multiple of a stride.

    Args:
        photos: uint8 (photos, size, size, 3).

    Returns:
        uint8 (photos, height, width, 3) by "HEIGHTxWIDTH".
    """
    size = photos.shape[1]
    some = tf.constant(photos[:OTHER_SIZES], tf.float32)
    resized = {}
    for height, width in ((size, size + size // 2), ((size + 4) | 1, (size + 4) | 1)):
        values = tf.image.resize(some, (height, width)).numpy()
        resized[f"{height}x{width}"] = np.clip(np.round(values), 0, 255).astype(np.uint8)
    return resized


def artifact_outputs(
    format: str, artifact: Path, photos: np.ndarray, others: dict[str, np.ndarray] | None = None
) -> Outputs:
    """Open an artifact in a new process, which never imports tf_spot, and run it.

    Args:
        format: `saved_model`, `tflite` or `onnx`.
        artifact: file or folder.
        photos: uint8 (photos, size, size, 3); repeated to fill a batch.
        others: photos of other sizes, see `other_sizes`.

    Returns:
        (batch, ...) by "BATCH/OUTPUT", see `run_artifact`.

    Raises:
        UserError: the artifact does not run.
    """
    with tempfile.TemporaryDirectory() as folder:
        inputs, outputs = Path(folder, "photos.npz"), Path(folder, "outputs.npz")
        np.savez(inputs, allow_pickle=False, photos=photos, **(others or {}))
        # -P: this folder must not come first on the path, where its onnx.py would shadow the package onnx.
        command = [sys.executable, "-P", run_artifact.__file__, format, str(artifact), str(inputs), str(outputs)]
        environment = os.environ | {"CUDA_VISIBLE_DEVICES": "-1"}
        done = subprocess.run(command, capture_output=True, text=True, env=environment, errors="replace")
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise UserError(f"the artifact does not run in its own runtime: {reason}; export it again")
        with np.load(outputs) as answers:
            return dict(answers)


# --- differences ------------------------------------------------------------------------------------------------------


def measure(outputs: Outputs, expected: Outputs, others: dict[str, Outputs] | None = None) -> Differences:
    """Measure how far an artifact's outputs are from the model's.

    Args:
        outputs: of the artifact: (batch, ...) by "batch size/output", see `artifact_outputs`.
        expected: of the model, (photos, ...) by output; repeated to fill a batch.
        others: the same for photos of other sizes, by "HEIGHTxWIDTH".

    Returns:
        {batch size: {output: {"largest_difference", "scale", "share", "relative_rms"}}}; scale is the largest absolute
        value expected, share the largest difference over it.

    Raises:
        UserError: the artifact's outputs have other names or shapes.
    """
    differences: Differences = {}
    for key, value in outputs.items():
        batch, name = key.split("/")
        of_model = (others or {}).get(batch.partition(" at ")[2], expected)
        wanted = of_model[name][np.arange(len(value)) % len(of_model[name])] if name in of_model else None
        if wanted is None or wanted.shape != value.shape:
            raise UserError(f"the artifact gives {name} {value.shape}, the model {sorted(expected)}; export it again")
        differences.setdefault(batch, {})[name] = _difference(value, wanted)
    for batch, by_output in differences.items():
        if not _complete(batch, set(by_output), set(expected)):
            raise UserError(
                f"the artifact gives {sorted(by_output)} at {batch}, the model {sorted(expected)}; export it again"
            )
    return differences


def _complete(batch: str, outputs: set[str], expected: set[str]) -> bool:
    """True if nothing is missing; a SavedModel's `conv4` gives conv4 alone, its defaults the embedding."""
    defaults = ("serving_default", "image_bytes")
    return outputs == expected or outputs == {batch} or (batch in defaults and outputs == {"embedding"})


def _difference(value: np.ndarray, wanted: np.ndarray) -> dict[str, float]:
    wanted = wanted.astype(np.float64)  # the sums of squares of float32 maps lose digits
    error = value.astype(np.float64) - wanted
    scale = max(float(np.abs(wanted).max()), TINY)
    rms = max(float(np.sqrt(np.mean(wanted**2))), TINY)
    largest = float(np.abs(error).max())
    return {
        "largest_difference": largest,
        "scale": scale,
        "share": largest / scale,
        "relative_rms": float(np.sqrt(np.mean(error**2))) / rms,
    }


# --- refusals ---------------------------------------------------------------------------------------------------------


def refuse_other_names(outputs: Outputs, class_names: list[str] | None) -> None:
    """Remove the strings that a classifier's signature image_bytes gives from `outputs` and compare them.

    Raises:
        UserError: they are not the class names.
    """
    given = outputs.pop("image_bytes/class_names", None)
    if given is None and "image_bytes/probabilities" not in outputs:
        return
    if given is None or any([name.decode() for name in names] != class_names for names in given):
        raise UserError("the artifact gives other names of classes than the model has; export it again")


def refuse_if_different(differences: Differences, quantization: str) -> None:
    """Refuse an artifact with an output too far from the model's; NaN counts as far.

    Raises:
        UserError: names the output, the limit and the difference.
    """
    metric, limit = ("share", TOLERANCE) if quantization == "none" else ("relative_rms", WORST_QUANTIZED)
    for batch, outputs in differences.items():
        for name, values in outputs.items():
            if not values[metric] <= limit:  # not `>`, which NaN would pass
                raise UserError(
                    f"the artifact differs from the model: {name} at batch {batch}; allowed {metric} {limit:g}; "
                    f"received {values[metric]:.3g}; do not use it, export it again"
                )


def refuse_if_worse(differences: Differences, recorded: Differences) -> None:
    """Refuse an artifact with an output clearly further from the model's than at its export.

    Args:
        differences: measured now.
        recorded: those of the manifest, for the same photos.

    Raises:
        UserError: names the output, the limit and the difference.
    """
    for batch, outputs in differences.items():
        for name, values in outputs.items():
            before = recorded[batch][name]["relative_rms"]
            limit = max(CLEARLY_WORSE * before, TOLERANCE)
            if not values["relative_rms"] <= limit:
                raise UserError(
                    f"the artifact is worse than when it was exported: {name} at batch {batch}; recorded relative_rms "
                    f"{before:.3g}; allowed {limit:.3g}; received {values['relative_rms']:.3g}; export it again, or "
                    "compare the versions in manifest.json with those installed"
                )
