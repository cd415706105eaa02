"""ONNX, for ONNX Runtime: float32 or static int8."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tf_spot.exporters.signature import Signature

if TYPE_CHECKING:
    from onnx import ModelProto

OPSET = 18
QUANTIZATIONS = ("none", "int8")


def write_onnx(
    signature: Signature, path: Path, quantization: str, photos: np.ndarray, properties: dict[str, str]
) -> None:
    """Write one .onnx file that passes the ONNX checker; its batch size is free, its image size if the signature's is.

    Args:
        signature: what to convert.
        path: the file.
        quantization: `none` or `int8` (weights and activations, by ONNX Runtime's quantiser).
        photos: uint8 (photos, size, size, 3), for the ranges of int8 activations.
        properties: written into the model's metadata.
    """
    import onnx
    import tf2onnx

    # tf2onnx leaves out an optimisation that fails and logs a trace; the result is compared with the model anyway.
    logging.getLogger("tf2onnx.optimizer").setLevel(logging.ERROR)
    images = signature.images
    model, _ = tf2onnx.convert.from_function(
        images, input_signature=images.input_signature, opset=OPSET, custom_op_handlers={"Erfc": (_erfc, [])}
    )
    for value in [*model.graph.input, *model.graph.output]:
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    if signature.any_size:
        for axis, name in enumerate(("height", "width"), start=1):
            model.graph.input[0].type.tensor_type.shape.dim[axis].dim_param = name
    if quantization == "int8":
        model = _quantized(model, photos)
    onnx.helper.set_model_props(model, properties)
    onnx.save(model, path)
    onnx.checker.check_model(str(path), full_check=True)  # tf2onnx can write an invalid model without an error


def _erfc(graph: Any, node: Any, name: str, arguments: list[str]) -> None:
    """Write Erfc, which Keras' exact GELU has and ONNX has not, as 1 - Erf."""
    one = graph.make_const(f"{name}_one", np.array(1.0, np.float32)).output[0]
    node.type = "Erf"
    (output,) = node.output
    graph.insert_new_node_on_output("Sub", output, name=f"{name}_rest", inputs=[one, output])


def _quantized(model: ModelProto, photos: np.ndarray) -> ModelProto:
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, quantize_static

    class Photos(CalibrationDataReader):  # type: ignore[misc, unused-ignore]
        def __init__(self) -> None:
            self.remaining = iter(photos)

        def get_next(self) -> dict[str, np.ndarray] | None:
            photo = next(self.remaining, None)
            return None if photo is None else {"images": photo[None].astype(np.float32)}  # (1, size, size, 3)

    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder, "int8.onnx")
        # Weights in 7 bits: on CPUs that have only AVX2, sums of 8-bit products silently overflow 16 bits.
        quantize_static(model, str(target), Photos(), per_channel=True, reduce_range=True)
        return onnx.load(str(target))


def float_operations(path: Path) -> list[str]:
    """Return the names of the operations in an int8 ONNX file that the quantiser has no integer form for."""
    import onnx
    from onnxruntime.quantization.registry import QDQRegistry, QLinearOpsRegistry

    present = {node.op_type for node in onnx.load(path).graph.node}
    return sorted(present - QDQRegistry.keys() - QLinearOpsRegistry.keys() - {"QuantizeLinear", "DequantizeLinear"})
