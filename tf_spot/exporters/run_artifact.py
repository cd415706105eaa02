"""Run an exported artifact with its own runtime; also a script for a process that never imports tf_spot.

    python -P run_artifact.py FORMAT ARTIFACT PHOTOS.npz OUTPUTS.npz

PHOTOS.npz holds `photos` and, for an artifact that takes any size, further photos as HEIGHTxWIDTH. OUTPUTS.npz holds
BATCH/OUTPUT for each batch size (photos are repeated to fill it), the outputs for the further photos as "BATCH at
HEIGHTxWIDTH/OUTPUT" and, for a SavedModel, those of its further signatures as SIGNATURE/OUTPUT, for the photos or,
where a signature takes files, for the photos as PNG files (strings as bytes of one length).
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TypedDict

import numpy as np

BATCH_SIZES = (1, 7, 64)  # one, an odd number, many
Outputs = dict[str, np.ndarray]
Artifact = Callable[[np.ndarray], Outputs]  # float32 (batch, size, size, 3) in [0, 255] to outputs by name


class TensorDetails(TypedDict):
    """The part of LiteRT's description of a tensor that is used here."""

    dtype: Any  # np.float32 or np.int8
    quantization: tuple[float, int]  # scale and zero point


def open_saved_model(path: str) -> tuple[Artifact, dict[str, Artifact]]:
    """Open the signature that takes images and gives every output, and all others by name.

    All take arrays; those that want files encode them as PNG.
    """
    import tensorflow as tf

    signatures = tf.saved_model.load(path).signatures

    def opened(name: str) -> Artifact:
        def call(photos: np.ndarray) -> Outputs:
            if name.startswith("image_bytes"):
                files = tf.stack([tf.io.encode_png(photo) for photo in photos.astype(np.uint8)])
                outputs = signatures[name](image_bytes=files)
            else:
                outputs = signatures[name](images=tf.constant(photos))
            return {output: value.numpy() for output, value in outputs.items()}

        return call

    others = {name: opened(name) for name in signatures}
    # The part `features` has `maps` since its default answers with the embedding alone.
    return others.pop("maps" if "maps" in others else "serving_default"), others


def open_tflite(path: str, threads: int | None = None) -> Artifact:
    """Open the signature `serving_default`.

    Args:
        path: the file.
        threads: None: the default of the runtime, which is one.
    """
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=path, num_threads=threads)
    runner = interpreter.get_signature_runner("serving_default")
    inputs, outputs = runner.get_input_details(), runner.get_output_details()

    def images(photos: np.ndarray) -> Outputs:
        values = runner(images=_quantize(photos, inputs["images"]))
        return {name: _dequantize(value, outputs[name]) for name, value in values.items()}

    return images


def open_onnx(path: str, threads: int = 0) -> Artifact:
    """Open an ONNX model.

    Args:
        path: the file.
        threads: 0: one per core.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return lambda photos: dict(zip(names, session.run(names, {"images": photos}), strict=True))


OPEN: dict[str, Callable[[str], Artifact]] = {
    "saved_model": lambda path: open_saved_model(path)[0],
    "tflite": open_tflite,
    "onnx": open_onnx,
}


def _quantize(values: np.ndarray, details: TensorDetails) -> np.ndarray:
    if details["dtype"] == np.float32:
        return values
    scale, zero_point = details["quantization"]
    limits = np.iinfo(details["dtype"])
    return np.clip(np.round(values / scale) + zero_point, limits.min, limits.max).astype(details["dtype"])


def _dequantize(values: np.ndarray, details: TensorDetails) -> np.ndarray:
    if details["dtype"] == np.float32:
        return values
    scale, zero_point = details["quantization"]
    return ((values.astype(np.float32) - zero_point) * scale).astype(np.float32)


def main(format: str, path: str, photos_path: str, outputs_path: str) -> None:
    """Run the artifact at every batch size and write its outputs; see the module."""
    with np.load(photos_path) as given:
        others = {name: given[name].astype(np.float32) for name in given.files}
    photos = others.pop("photos")
    signatures: dict[str, Artifact] = {}
    if format == "saved_model":
        artifact, signatures = open_saved_model(path)
    else:
        artifact = OPEN[format](path)
    batches = {size: photos[np.arange(size) % len(photos)] for size in BATCH_SIZES}
    outputs = {f"{size}/{name}": value for size in BATCH_SIZES for name, value in artifact(batches[size]).items()}
    for size_text, resized in others.items():
        outputs |= {f"{len(resized)} at {size_text}/{name}": value for name, value in artifact(resized).items()}
    for signature, call in signatures.items():
        for name, value in call(batches[7]).items():
            # Without pickling, NumPy saves no arrays of objects.
            outputs[f"{signature}/{name}"] = value.astype(np.bytes_) if value.dtype == object else value
    if any(name.split(".")[0] == "tf_spot" for name in sys.modules):
        raise RuntimeError("tf_spot was imported: this run does not show that the artifact works without it")
    np.savez(outputs_path, allow_pickle=False, **outputs)


if __name__ == "__main__":
    main(*sys.argv[1:])
