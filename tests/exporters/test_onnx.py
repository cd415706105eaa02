"""ONNX files: names of axes and metadata, and what int8 leaves in float."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_spot.exporters import export
from tf_spot.exporters.onnx import write_onnx


def test_onnx_names_its_batch(onnx_bundle) -> None:
    import onnx

    model = onnx.load(onnx_bundle / "features.onnx")
    assert [v.type.tensor_type.shape.dim[0].dim_param for v in [*model.graph.input, *model.graph.output]] == [
        "batch"
    ] * 7
    assert [entry.version for entry in model.opset_import if not entry.domain] == [18]
    assert {prop.key: prop.value for prop in model.metadata_props}["part"] == "features"


def test_the_exact_gelu_of_keras_is_written_without_erfc(tmp_path) -> None:
    """As ConvNeXt and transformers have it."""
    import onnxruntime

    shape = tf.TensorSpec((None, 2, 2, 3), tf.float32, "images")
    function = tf.function(lambda images: {"conv1": keras.activations.gelu(images)}, input_signature=[shape])
    write_onnx(SimpleNamespace(images=function, any_size=False), tmp_path / "gelu.onnx", "none", np.zeros(0), {})
    values = np.linspace(-4, 4, 12, dtype=np.float32).reshape(1, 2, 2, 3)
    (found,) = onnxruntime.InferenceSession(tmp_path / "gelu.onnx").run(None, {"images": values})
    np.testing.assert_allclose(found, keras.activations.gelu(values), atol=1e-6)


@pytest.mark.slow
def test_onnx_int8_is_smaller(spotter, photos, tmp_path, onnx_bundle) -> None:
    manifest = export(spotter, tmp_path / "out", format="onnx", quantize="int8", photos=photos)
    assert manifest["size_bytes"] < (onnx_bundle / "features.onnx").stat().st_size
    assert "LRN" in manifest["float_operations"] and "Conv" not in manifest["float_operations"]
    assert "Computed in float all the same: LRN" in (tmp_path / "out" / "README.md").read_text()
    assert manifest["parity"]["64"]["conv5"]["relative_rms"] > 1e-4  # it is not the float model
