"""TFLite files: the error of each quantisation, and what int8 leaves in float."""

from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from tests.exporters.conftest import CONFIG
from tf_spot.errors import UserError
from tf_spot.exporters import export, verify
from tf_spot.exporters.tflite import _configure
from tf_spot.models.from_config import build_autoencoder, build_spotter


def test_int8_finds_its_ranges_on_single_photos_in_0_to_255() -> None:
    converter, photos = SimpleNamespace(target_spec=SimpleNamespace()), np.full((3, 4, 4, 3), 200, np.uint8)
    _configure(converter, "int8", photos)
    examples = [example["images"] for example in converter.representative_dataset()]
    assert len(examples) == 3 and {example.shape for example in examples} == {(1, 4, 4, 3)}
    assert all(example.dtype == np.float32 and example.max() == 200 for example in examples)
    assert not hasattr(converter, "inference_input_type")
    _configure(converter, "int8-integer", photos)
    assert converter.inference_input_type == converter.inference_output_type == tf.int8


@pytest.mark.slow
@pytest.mark.parametrize("quantize", ["none", "float16", "dynamic", "int8"])
def test_tflite(spotter, photos, tmp_path, quantize) -> None:
    manifest = export(spotter, tmp_path / "out", format="tflite", quantize=quantize, photos=photos)
    assert verify(tmp_path / "out")["quantization"] == quantize
    errors = [values["relative_rms"] for values in manifest["parity"]["64"].values()]
    assert max(errors) < {"none": 1e-5, "float16": 2e-3, "dynamic": 0.05, "int8": 0.1}[quantize]
    if quantize == "int8":
        assert manifest["float_operations"] == ["LOCAL_RESPONSE_NORMALIZATION"]


@pytest.mark.slow
def test_integers_only_needs_a_network_without_response_norm(spotter, photos, tmp_path) -> None:
    with pytest.raises(UserError, match="trunk_norm=response"):
        export(spotter, tmp_path / "out", format="tflite", quantize="int8-integer", photos=photos)
    config = CONFIG.replace(**{"network.trunk_norm": "batch"})
    plain = build_spotter(config, build_autoencoder(config))
    manifest = export(plain, tmp_path / "out", format="tflite", quantize="int8-integer", photos=photos)
    assert manifest["float_operations"] == []
