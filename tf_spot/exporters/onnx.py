"""ONNX, for ONNX Runtime: float32 or static int8."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from tf_spot.exporters.signature import Part

OPSET = 18
QUANTIZATIONS = ("none", "int8")


def write_onnx(part: Part, path: Path, quantization: str, photos: np.ndarray, properties: dict[str, str]) -> None:
    """Writes one .onnx file and has the ONNX checker look at it; batch size free, image size where the part's is.

    Args:
        part: what to convert.
        path: the file.
        quantization: `none` or `int8` (weights and activations, by ONNX Runtime's quantiser).
        photos: uint8, for the ranges of int8 activations.
        properties: written into the model's metadata.
    """
    import onnx
    import tf2onnx

    # An optimisation that fails is left out, with a trace in the log; the result is compared with the model anyhow.
    logging.getLogger("tf2onnx.optimizer").setLevel(logging.ERROR)
    model, _ = tf2onnx.convert.from_function(part.images, input_signature=part.images.input_signature, opset=OPSET)
    for value in [*model.graph.input, *model.graph.output]:
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    if part.any_size:
        for place, name in enumerate(("height", "width"), start=1):
            model.graph.input[0].type.tensor_type.shape.dim[place].dim_param = name
    if quantization == "int8":
        model = _quantized(model, photos)
    onnx.helper.set_model_props(model, properties)
    onnx.save(model, path)
    onnx.checker.check_model(str(path), full_check=True)  # tf2onnx writes what is not valid without a word


def _quantized(model: Any, photos: np.ndarray) -> Any:
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, quantize_static

    class Photos(CalibrationDataReader):  # type: ignore[misc, unused-ignore]
        def __init__(self) -> None:
            self.left = iter(photos)

        def get_next(self) -> dict[str, np.ndarray] | None:
            photo = next(self.left, None)
            return None if photo is None else {"images": photo[None].astype(np.float32)}

    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder, "int8.onnx")
        # Weights in 7 bits: on CPUs with AVX2 alone, sums of 8-bit products overflow 16 bits without a word.
        quantize_static(model, str(target), Photos(), per_channel=True, reduce_range=True)
        return onnx.load(str(target))


def float_operations(path: Path) -> list[str]:
    """Operations of an int8 ONNX file that the quantiser has no integer form for."""
    import onnx
    from onnxruntime.quantization.registry import QDQRegistry, QLinearOpsRegistry

    found = {node.op_type for node in onnx.load(path).graph.node}
    return sorted(found - QDQRegistry.keys() - QLinearOpsRegistry.keys() - {"QuantizeLinear", "DequantizeLinear"})
