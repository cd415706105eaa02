"""ONNX files: names of axes and metadata, and what int8 leaves in float."""

import pytest

from tf_spot.exporters import export


def test_onnx_names_its_batch(onnx_bundle) -> None:
    import onnx

    model = onnx.load(onnx_bundle / "features.onnx")
    assert [v.type.tensor_type.shape.dim[0].dim_param for v in [*model.graph.input, *model.graph.output]] == [
        "batch"
    ] * 7
    assert [entry.version for entry in model.opset_import if not entry.domain] == [18]
    assert {prop.key: prop.value for prop in model.metadata_props}["part"] == "features"


@pytest.mark.slow
def test_onnx_int8_is_smaller(spotter, photos, tmp_path, onnx_bundle) -> None:
    manifest = export(spotter, tmp_path / "out", format="onnx", quantize="int8", photos=photos)
    assert manifest["size_bytes"] < (onnx_bundle / "features.onnx").stat().st_size
    assert "LRN" in manifest["float_operations"] and "Conv" not in manifest["float_operations"]
    assert "Computed in float all the same: LRN" in (tmp_path / "out" / "README.md").read_text()
    assert manifest["parity"]["64"]["conv5"]["relative_rms"] > 1e-4  # it is not the float model
