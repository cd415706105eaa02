"""Runs an exported artifact with its own runtime; started as a script, in a process that never imports tf_spot.

    python -P reopen.py FORMAT ARTIFACT PHOTOS.npz ANSWERS.npz

PHOTOS.npz holds `photos` and, for a model that takes any size, others as HEIGHTxWIDTH. ANSWERS.npz holds BATCH/OUTPUT
for each batch size (photos are repeated to fill it), the answers to the others as "BATCH at HEIGHTxWIDTH/OUTPUT" and,
for a SavedModel, the answers of the signature `image_bytes` to the photos as PNG files, as image_bytes/OUTPUT (strings
as bytes of one length).
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

BATCHES = (1, 7, 64)
Answers = dict[str, np.ndarray]
Model = Callable[[np.ndarray], Answers]  # float32 (batch, size, size, 3) in [0, 255] to outputs by name


def open_saved_model(path: str) -> tuple[Model, Model]:
    """The signatures `serving_default` and `image_bytes` (photos are made PNG files here)."""
    import tensorflow as tf

    loaded = tf.saved_model.load(path)

    def images(photos: np.ndarray) -> Answers:
        answers = loaded.signatures["serving_default"](images=tf.constant(photos))
        return {name: value.numpy() for name, value in answers.items()}

    def image_bytes(photos: np.ndarray) -> Answers:
        files = tf.stack([tf.io.encode_png(photo) for photo in photos.astype(np.uint8)])
        answers = loaded.signatures["image_bytes"](image_bytes=files)
        return {name: value.numpy() for name, value in answers.items()}

    return images, image_bytes


def open_tflite(path: str, threads: int | None = None) -> Model:
    """The signature `serving_default`; `threads`: by default what the runtime takes, one."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=path, num_threads=threads)
    runner = interpreter.get_signature_runner("serving_default")
    takes, gives = runner.get_input_details()["images"], runner.get_output_details()

    def images(photos: np.ndarray) -> Answers:
        answers = runner(images=_to_integers(photos, takes))
        return {name: _to_floats(value, gives[name]) for name, value in answers.items()}

    return images


def open_onnx(path: str, threads: int = 0) -> Model:
    """The model's only function; `threads`: 0, one a core."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return lambda photos: dict(zip(names, session.run(names, {"images": photos}), strict=True))


OPEN: dict[str, Callable[[str], Model]] = {
    "saved_model": lambda path: open_saved_model(path)[0],
    "tflite": open_tflite,
    "onnx": open_onnx,
}


def _to_integers(values: np.ndarray, details: dict[str, Any]) -> np.ndarray:
    if details["dtype"] == np.float32:
        return values
    scale, zero = details["quantization"]
    limits = np.iinfo(details["dtype"])
    return np.clip(np.round(values / scale) + zero, limits.min, limits.max).astype(details["dtype"])


def _to_floats(values: np.ndarray, details: dict[str, Any]) -> np.ndarray:
    if details["dtype"] == np.float32:
        return values
    scale, zero = details["quantization"]
    return ((values.astype(np.float32) - zero) * scale).astype(np.float32)


def main(kind: str, path: str, photos_path: str, answers_path: str) -> None:
    with np.load(photos_path) as given:
        others = {name: given[name].astype(np.float32) for name in given.files}
    photos = others.pop("photos")
    encoded: Model | None = None
    if kind == "saved_model":
        model, encoded = open_saved_model(path)
    else:
        model = OPEN[kind](path)
    rows = {batch: photos[np.arange(batch) % len(photos)] for batch in BATCHES}
    found = {f"{batch}/{name}": value for batch in BATCHES for name, value in model(rows[batch]).items()}
    for size, resized in others.items():
        found |= {f"{len(resized)} at {size}/{name}": value for name, value in model(resized).items()}
    if encoded is not None:
        for name, value in encoded(rows[7]).items():
            found[f"image_bytes/{name}"] = value.astype(np.bytes_) if value.dtype == object else value
    if any(name.split(".")[0] == "tf_spot" for name in sys.modules):
        raise RuntimeError("tf_spot was imported: this run proves nothing")
    np.savez(answers_path, allow_pickle=False, **found)


if __name__ == "__main__":
    main(*sys.argv[1:])
