"""A run as a TFLite file, and one photo through it without tf-spot.

    python export/to_tflite.py RUN OUT PHOTO

Exports the classifier if the run has one, else the features. Prints the size, the largest difference from the Keras
model, the time for one photo, and its class or the length of its embedding.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import recipe


def open_artifact(manifest: dict, artifact: Path, photo: Path) -> Callable[[], dict[str, np.ndarray]]:
    """This is what an app does."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(artifact))
    model = interpreter.get_signature_runner("serving_default")
    images = recipe.read_photo(manifest, photo)
    return lambda: model(images=images)


if __name__ == "__main__":
    recipe.main("export_tflite", open_artifact, timed="decoding not included")
