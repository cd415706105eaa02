"""A run as an ONNX file, and one photo through it without tf-spot.

    python export/to_onnx.py RUN OUT PHOTO

Exports the classifier if the run has one, else the features. Prints the size, the largest difference from the Keras
model, the time for one photo, and its class or the length of its embedding.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import recipe


def open_artifact(manifest: dict, artifact: Path, photo: Path) -> Callable[[], dict[str, np.ndarray]]:
    """This is what a service does."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(artifact), providers=["CPUExecutionProvider"])
    images = recipe.read_photo(manifest, photo)
    names = ["probabilities" if manifest["part"] == "classifier" else "embedding"]  # only these are computed
    return lambda: dict(zip(names, session.run(names, {"images": images}), strict=True))


if __name__ == "__main__":
    recipe.main("export_onnx", open_artifact, timed="decoding not included")
