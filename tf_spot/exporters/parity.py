"""Is an artifact the model it was made from: its answers, in its own runtime, beside those of Keras."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tf_spot.errors import UserError
from tf_spot.exporters import reopen
from tf_spot.exporters.parts import Part

TOLERANCE = 1e-4  # float32: largest difference as a share of the output's largest absolute value
WORST_QUANTIZED = 0.25  # relative rms error of a quantised output: more is of no use; one that is always 0 has 1
CHUNK = 64
TINY = float(np.finfo(np.float32).tiny)  # instead of dividing by 0

Figures = dict[str, dict[str, dict[str, float]]]  # batch size, output, figure


def keras_answers(part: Part, photos: np.ndarray) -> dict[str, np.ndarray]:
    """What the model itself answers to uint8 photos, on the CPU, where artifacts are checked too."""
    with tf.device("CPU:0"):
        chunks = [
            part.images(tf.constant(photos[start : start + CHUNK], tf.float32))
            for start in range(0, len(photos), CHUNK)
        ]
    return {name: np.concatenate([chunk[name].numpy() for chunk in chunks]) for name in chunks[0]}


def compare(kind: str, artifact: Path, photos: np.ndarray, expected: Mapping[str, np.ndarray]) -> Figures:
    """Reopens an artifact in a process of its own and measures how far its answers are from `expected`.

    Args:
        kind: the format.
        artifact: file or folder.
        photos: uint8 (n, size, size, 3); repeated to fill a batch.
        expected: outputs of the model, (n, ...) each.

    Returns:
        {batch size: {output: {"largest_difference", "scale", "share", "relative_rms"}}}; scale is the largest absolute
        value expected, share the largest difference over it.

    Raises:
        UserError: the artifact does not run, or its outputs have other names or shapes.
    """
    found = _answers(kind, artifact, photos)
    figures: Figures = {}
    for key, value in found.items():
        batch, name = key.split("/")
        wanted = expected[name][np.arange(len(value)) % len(photos)] if name in expected else None
        if wanted is None or wanted.shape != value.shape:
            raise UserError(f"the artifact gives {name} {value.shape}, the model {sorted(expected)}; export it again")
        figures.setdefault(batch, {})[name] = _difference(value, wanted)
    for batch, outputs in figures.items():
        if set(outputs) != set(expected):
            raise UserError(f"the artifact gives {sorted(outputs)} at {batch}, the model {sorted(expected)}")
    return figures


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


def _answers(kind: str, artifact: Path, photos: np.ndarray) -> dict[str, np.ndarray]:
    with tempfile.TemporaryDirectory() as folder:
        asked, told = Path(folder, "photos.npy"), Path(folder, "answers.npz")
        np.save(asked, photos)
        # -P: this folder must not come first on the path, where its onnx.py would stand before the package.
        command: list[Any] = [sys.executable, "-P", reopen.__file__, kind, artifact, asked, told]
        environment = os.environ | {"CUDA_VISIBLE_DEVICES": "-1"}
        done = subprocess.run(command, capture_output=True, text=True, env=environment, errors="replace")
        if done.returncode:
            said = (done.stderr.strip().splitlines() or ["no word"])[-1]
            raise UserError(f"the artifact does not run in its own runtime: {said}; export it again")
        with np.load(told) as answers:
            return dict(answers)
