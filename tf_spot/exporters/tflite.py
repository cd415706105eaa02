"""TFLite, for the LiteRT runtime: float32, or quantised."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf

from tf_spot.errors import UserError
from tf_spot.exporters.saved_model import write_plain
from tf_spot.exporters.signature import Signature

QUANTIZATIONS = ("none", "float16", "dynamic", "int8", "int8-integer")


def write_tflite(signature: Signature, path: Path, quantization: str, photos: np.ndarray) -> None:
    """Write one .tflite file.

    Args:
        signature: what to convert.
        path: the file.
        quantization: `none`; `float16`: weights; `dynamic`: weights in int8, activations float; `int8`: weights and
            activations, with float inputs and outputs; `int8-integer`: inputs and outputs too, and no float operation.
        photos: uint8 (photos, size, size, 3), for the ranges of int8 activations.

    Raises:
        UserError: `int8-integer` of a network with response norm.
    """
    if quantization == "int8-integer" and signature.has_response_norm:
        raise UserError(
            "int8-integer needs a network without response norm, which has no integer form; received: one with "
            "network.trunk_norm=response; train with network.trunk_norm=batch or use --quantize int8"
        )
    with tempfile.TemporaryDirectory() as folder:
        # Converted directly from the function, the variables would not be frozen, and outputs would be NaN.
        write_plain(signature, Path(folder))
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=["serving_default"])
        _configure(converter, quantization, photos)
        with warnings.catch_warnings():  # TensorFlow calibrates with an interpreter that it calls deprecated itself
            warnings.filterwarnings("ignore", "[\\s\\S]*tf.lite.Interpreter is deprecated", UserWarning)
            path.write_bytes(converter.convert())


def _configure(converter: tf.lite.TFLiteConverter, quantization: str, photos: np.ndarray) -> None:
    if quantization == "none":
        return
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if quantization == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if not quantization.startswith("int8"):
        return

    def representative_dataset() -> Iterator[dict[str, np.ndarray]]:
        for photo in photos:
            yield {"images": photo[None].astype(np.float32)}  # (1, size, size, 3)

    converter.representative_dataset = representative_dataset
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    if quantization == "int8-integer":
        converter.inference_input_type = converter.inference_output_type = tf.int8


def float_operations(path: Path) -> list[str]:
    """Return the names of the operations in a TFLite file with float32 results, except the final dequantisation."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path))
    dtypes = {tensor["index"]: tensor["dtype"] for tensor in interpreter.get_tensor_details()}
    names = {
        operation["op_name"]
        for operation in interpreter._get_ops_details()  # the runtime has no public list of operations
        if any(dtypes.get(index) == np.float32 for index in operation["outputs"])
    }
    return sorted(names - {"DEQUANTIZE", "DELEGATE"})
