"""Opening artifacts with their own runtimes, and the script that does so without this package."""

import json
import subprocess
import sys

import numpy as np
import pytest

from tf_spot.exporters import run_artifact
from tf_spot.exporters.run_artifact import BATCH_SIZES, OPEN, _dequantize, _quantize, main


def test_integers_by_hand() -> None:
    details = {"dtype": np.int8, "quantization": (2.0, -3)}
    quantized = _quantize(np.array([0.0, 9.0, 1e6, -1e6], np.float32), details)
    assert quantized.dtype == np.int8 and quantized.tolist() == [-3, 1, 127, -128]  # 9 / 2 rounds to 4, the even one
    assert _dequantize(quantized[:2], details).tolist() == [0.0, 8.0]
    plain = {"dtype": np.float32, "quantization": (0.0, 0)}
    values = np.array([0.5], np.float32)
    assert _quantize(values, plain) is values and _dequantize(values, plain) is values


def test_an_artifact_is_a_function_of_photos(onnx_bundle, spotter, photos) -> None:
    images = photos[:2].astype(np.float32)
    outputs = OPEN["onnx"](str(onnx_bundle / "features.onnx"))(images)
    expected = spotter.backbone(images / 127.5 - 1)["conv5"].numpy()
    np.testing.assert_allclose(outputs["conv5"], expected, atol=1e-4 * np.abs(expected).max())
    assert set(outputs) == set(json.loads((onnx_bundle / "manifest.json").read_text())["outputs"])


def test_the_script_runs_every_batch_size_without_this_package(onnx_bundle, photos, tmp_path) -> None:
    inputs, outputs = tmp_path / "photos.npz", tmp_path / "outputs.npz"
    np.savez(inputs, photos=photos[:3])
    words = ["onnx", str(onnx_bundle / "features.onnx"), str(inputs), str(outputs)]
    subprocess.run([sys.executable, "-P", run_artifact.__file__, *words], check=True)
    with np.load(outputs) as found:
        assert {name.split("/")[0] for name in found.files} == {str(size) for size in BATCH_SIZES}
        assert all(len(found[f"{size}/embedding"]) == size for size in BATCH_SIZES)
        np.testing.assert_allclose(found["7/embedding"][3], found["7/embedding"][0], rtol=1e-5)  # photos are repeated
    with pytest.raises(RuntimeError, match="tf_spot was imported"):
        main(*words)
