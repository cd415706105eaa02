"""A contestant of benchmarks/inference.py: python benchmarks/exported_contestant.py FORMAT ARTIFACT REFERENCE.npz

FORMAT: keras (ARTIFACT is a backbone.keras), saved_model, tflite or onnx. Waits for its turns, see take_turns.py.
"""

from __future__ import annotations

import sys
from pathlib import Path

from take_turns import CORES, answer_with, on_two_cores

on_two_cores()
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np  # noqa: E402

import tf_spot  # noqa: E402, F401  (its settings of the environment come before TensorFlow)
from tf_spot.exporters import run_artifact  # noqa: E402


def keras_predict(path: str) -> run_artifact.Artifact:
    """Run `Model.predict` of the backbone and compute the embedding from its maps."""
    import keras

    backbone = keras.saving.load_model(path, compile=False)

    def artifact(images: np.ndarray) -> run_artifact.Outputs:
        maps = backbone.predict(images / 127.5 - 1, batch_size=len(images), verbose=0)
        return maps | {"embedding": maps["conv5"].mean((1, 2))}  # (batch, channels)

    return artifact


OPEN = {
    "keras": keras_predict,
    "saved_model": lambda path: run_artifact.open_saved_model(path)[0],
    "tflite": lambda path: run_artifact.open_tflite(path, CORES),
    "onnx": lambda path: run_artifact.open_onnx(path, CORES),
}

if __name__ == "__main__":
    format, artifact, reference = sys.argv[1:]
    with np.load(reference) as known:
        photos = known["photos"]
    answer_with(OPEN[format](artifact), photos)
