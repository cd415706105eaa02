"""A run as a SavedModel, and one photo through it without tf-spot.

    python export/to_saved_model.py RUN OUT PHOTO

Exports the classifier if the run has one, else the features. Prints the size, the largest difference from the Keras
model, the time for one photo, and its class or the length of its embedding.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import recipe


def open_artifact(manifest: dict, artifact: Path, photo: Path) -> Callable[[], dict[str, np.ndarray]]:
    """This is what a service does; a classifier's outputs have `class_names` beside `probabilities`."""
    import tensorflow as tf

    model = tf.saved_model.load(str(artifact))
    files = tf.constant([photo.read_bytes()])  # JPEG or PNG; decoded and resized in the graph

    def run() -> dict[str, np.ndarray]:
        return {name: value.numpy() for name, value in model.signatures["image_bytes"](image_bytes=files).items()}

    return run


if __name__ == "__main__":
    recipe.main("export_saved_model", open_artifact, timed="decoding included")
