"""Is an artifact the model it was made from: its answers, in its own runtime, beside those of Keras."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tf_spot.errors import UserError
from tf_spot.exporters import run_artifact as reopen
from tf_spot.exporters.signature import Part

TOLERANCE = 1e-4  # float32: largest difference as a share of the output's largest absolute value
WORST_QUANTIZED = 0.25  # relative rms error of a quantised output: more is of no use; one that is always 0 has 1
CLEARLY_WORSE = 2.0  # times the recorded relative rms error: other CPUs and versions round otherwise
CHUNK = 64
OTHER_SIZES = 7  # photos that an artifact for any size is asked about at each other size
TINY = float(np.finfo(np.float32).tiny)  # instead of dividing by 0

Answers = dict[str, np.ndarray]
Figures = dict[str, dict[str, dict[str, float]]]  # batch size, output, figure


def keras_answers(part: Part, photos: np.ndarray) -> Answers:
    """What the model itself answers to uint8 photos, on the CPU, where artifacts are checked too."""
    with tf.device("CPU:0"):
        chunks = [
            part.images(tf.constant(photos[start : start + CHUNK], tf.float32))
            for start in range(0, len(photos), CHUNK)
        ]
    return {name: np.concatenate([chunk[name].numpy() for chunk in chunks]) for name in chunks[0]}


def other_sizes(photos: np.ndarray) -> dict[str, np.ndarray]:
    """Some of the photos at two more sizes, for an artifact that takes any: {"HEIGHTxWIDTH": uint8 photos}.

    One is not square; the other has an odd side, so it is no multiple of a stride.
    """
    size = photos.shape[1]
    some = tf.constant(photos[:OTHER_SIZES], tf.float32)
    found = {}
    for height, width in ((size, size + size // 2), ((size + 4) | 1, (size + 4) | 1)):
        resized = np.clip(np.round(tf.image.resize(some, (height, width)).numpy()), 0, 255).astype(np.uint8)
        found[f"{height}x{width}"] = resized
    return found


def measure(found: Answers, expected: Answers, others: dict[str, Answers] | None = None) -> Figures:
    """How far an artifact's answers are from the model's.

    Args:
        found: what `artifact_answers` gave: (rows, ...) by "batch size/output".
        expected: outputs of the model by name, (photos, ...) each; repeated to as many rows.
        others: the same for photos of other sizes, by "HEIGHTxWIDTH".

    Returns:
        {batch size: {output: {"largest_difference", "scale", "share", "relative_rms"}}}; scale is the largest absolute
        value expected, share the largest difference over it.

    Raises:
        UserError: the artifact's outputs have other names or shapes.
    """
    figures: Figures = {}
    for key, value in found.items():
        batch, name = key.split("/")
        answers = (others or {}).get(batch.partition(" at ")[2], expected)
        wanted = answers[name][np.arange(len(value)) % len(answers[name])] if name in answers else None
        if wanted is None or wanted.shape != value.shape:
            raise UserError(f"the artifact gives {name} {value.shape}, the model {sorted(expected)}; export it again")
        figures.setdefault(batch, {})[name] = _difference(value, wanted)
    for batch, outputs in figures.items():
        if set(outputs) != set(expected):
            raise UserError(f"the artifact gives {sorted(outputs)} at {batch}, the model {sorted(expected)}")
    return figures


def refuse_other_names(found: Answers, class_names: list[str] | None) -> None:
    """Takes the strings that the signature image_bytes of a classifier gives out of `found`: they must be the names.

    Raises:
        UserError: they are not.
    """
    given = found.pop("image_bytes/class_names", None)
    if given is None and "image_bytes/probabilities" not in found:
        return
    if given is None or any([name.decode() for name in row] != class_names for row in given):
        raise UserError("the artifact gives other names of classes than the model has; export it again")


def refuse_if_different(figures: Figures, quantization: str) -> None:
    """Raises a UserError when an output is too far from the model's; NaN counts as far."""
    figure, limit = ("share", TOLERANCE) if quantization == "none" else ("relative_rms", WORST_QUANTIZED)
    for batch, outputs in figures.items():
        for name, values in outputs.items():
            if not values[figure] <= limit:
                raise UserError(
                    f"the artifact differs from the model: {name} at batch {batch}; allowed {figure} {limit:g}; "
                    f"received {values[figure]:.3g}; nothing can rely on it, export it again"
                )


def refuse_if_worse(figures: Figures, recorded: Figures) -> None:
    """Raises a UserError when an output is clearly further from the model's than it was when it was exported.

    Args:
        figures: now.
        recorded: those of the manifest, of the same photos.
    """
    for batch, outputs in figures.items():
        for name, values in outputs.items():
            was = recorded[batch][name]["relative_rms"]
            limit = max(CLEARLY_WORSE * was, TOLERANCE)
            if not values["relative_rms"] <= limit:
                raise UserError(
                    f"the artifact is worse than when it was exported: {name} at batch {batch}; recorded relative_rms "
                    f"{was:.3g}; allowed {limit:.3g}; received {values['relative_rms']:.3g}; export it again, or see "
                    "whether the versions in manifest.json are those here"
                )


def _difference(value: np.ndarray, wanted: np.ndarray) -> dict[str, float]:
    wanted = wanted.astype(np.float64)
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


def artifact_answers(
    kind: str, artifact: Path, photos: np.ndarray, others: dict[str, np.ndarray] | None = None
) -> Answers:
    """Reopens an artifact in a process of its own.

    Args:
        kind: the format.
        artifact: file or folder.
        photos: uint8 (n, size, size, 3); repeated to fill a batch.
        others: photos of other sizes, see `other_sizes`.

    Returns:
        see `reopen`.

    Raises:
        UserError: the artifact does not run.
    """
    with tempfile.TemporaryDirectory() as folder:
        asked, told = Path(folder, "photos.npz"), Path(folder, "answers.npz")
        np.savez(asked, allow_pickle=False, photos=photos, **(others or {}))
        # -P: this folder must not come first on the path, where its onnx.py would stand before the package.
        command: list[Any] = [sys.executable, "-P", reopen.__file__, kind, artifact, asked, told]
        environment = os.environ | {"CUDA_VISIBLE_DEVICES": "-1"}
        done = subprocess.run(command, capture_output=True, text=True, env=environment, errors="replace")
        if done.returncode:
            said = (done.stderr.strip().splitlines() or ["no word"])[-1]
            raise UserError(f"the artifact does not run in its own runtime: {said}; export it again")
        with np.load(told) as answers:
            return dict(answers)
