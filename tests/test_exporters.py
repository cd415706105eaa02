"""Exported artifacts answer as the model does, carry what is needed to check them, and are refused when spoiled."""

import hashlib
import io
import json
import subprocess

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tf_spot.config import preset
from tf_spot.errors import UserError
from tf_spot.exporters import export, verify
from tf_spot.exporters.parity import _difference, refuse_if_different
from tf_spot.exporters.parts import Part, sample_photos
from tf_spot.exporters.saved_model import _decoded
from tf_spot.spot import spot
from tf_spot.training import build_autoencoder, build_spotter

CONFIG = preset("tiny").replace(
    **{"network.width": 0.125, "network.fc_units": 8, "network.trunk_norm": "response", "training.batch_size": 4}
)
SIZE = CONFIG.data.image_size


@pytest.fixture(scope="module")
def spotter():
    return build_spotter(CONFIG, build_autoencoder(CONFIG))


@pytest.fixture(scope="module")
def photos():
    return sample_photos("photos", CONFIG, 100)


@pytest.fixture(scope="module")
def onnx_bundle(spotter, photos, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exports") / "onnx"
    export(spotter, folder, format="onnx", photos=photos, config=CONFIG)
    return folder


def copied(bundle, target):
    for file in bundle.iterdir():
        target.mkdir(exist_ok=True)
        (target / file.name).write_bytes(file.read_bytes())
    return target


def test_sampled_photos_are_different_real_ones(photos) -> None:
    assert photos.dtype == np.uint8 and photos.shape == (100, SIZE, SIZE, 3)
    assert len({photo.tobytes() for photo in photos}) == 100


def test_features_take_photos_in_0_to_255(spotter, photos) -> None:
    images = photos[:3].astype(np.float32)
    answers = Part(spotter, "features").images(images)
    expected = spotter.backbone(images / 127.5 - 1)
    np.testing.assert_allclose(answers["conv3"], expected["conv3"], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(answers["embedding"], np.mean(expected["conv5"], (1, 2)), rtol=1e-4, atol=1e-4)


def test_the_spotter_part_agrees_with_spot(spotter, photos) -> None:
    answers = Part(spotter, "spotter").images(photos[:1].astype(np.float32))
    seen = spot(spotter, photos[0])
    assert float(answers["artifact_score"][0]) == pytest.approx(seen.score, abs=1e-5)
    np.testing.assert_allclose(answers["heat_map"][0], seen.heat_map, atol=1e-5)


def test_parity_figures_by_hand() -> None:
    figures = _difference(np.array([3.0, 4.5]), np.array([3.0, -4.0]) * [1, -1])
    assert figures["largest_difference"] == 0.5 and figures["scale"] == 4 and figures["share"] == 0.125
    assert figures["relative_rms"] == pytest.approx(0.1)  # 0.5 over the norm 5


@pytest.mark.parametrize(("share", "rms", "quantization", "refused"), [
    (9e-5, 0.0, "none", False), (2e-4, 0.0, "none", True), (float("nan"), 0.0, "none", True),
    (0.4, 0.2, "int8", False), (0.4, 0.3, "int8", True), (0.4, float("nan"), "int8", True),
])  # fmt: skip
def test_what_differs_is_refused(share, rms, quantization, refused) -> None:
    figures = {"7": {"conv1": {"share": share, "relative_rms": rms}}}
    if not refused:
        return refuse_if_different(figures, quantization)
    with pytest.raises(UserError, match="conv1 at batch 7"):
        refuse_if_different(figures, quantization)


def test_an_onnx_bundle_is_whole(onnx_bundle) -> None:
    manifest = json.loads((onnx_bundle / "manifest.json").read_text())
    assert set(manifest["parity"]) == {"1", "7", "64"}
    assert all(v["share"] <= 1e-4 for outputs in manifest["parity"].values() for v in outputs.values())
    assert set(manifest["outputs"]) == {"conv1", "conv2", "conv3", "conv4", "conv5", "embedding"}
    assert (
        manifest["config"] == CONFIG.to_dict()
        and manifest["size_bytes"] == (onnx_bundle / "features.onnx").stat().st_size
    )
    subprocess.run(["sha256sum", "--quiet", "-c", "SHA256SUMS"], cwd=onnx_bundle, check=True)
    assert verify(onnx_bundle)["files"] == 4


def test_onnx_names_its_batch(onnx_bundle) -> None:
    import onnx

    model = onnx.load(onnx_bundle / "features.onnx")
    assert [v.type.tensor_type.shape.dim[0].dim_param for v in [*model.graph.input, *model.graph.output]] == [
        "batch"
    ] * 7
    assert [entry.version for entry in model.opset_import if not entry.domain] == [18]
    assert {prop.key: prop.value for prop in model.metadata_props}["part"] == "features"


def test_a_changed_file_is_refused(onnx_bundle, tmp_path) -> None:
    spoiled = copied(onnx_bundle, tmp_path / "spoiled")
    (spoiled / "README.md").write_text("something else")
    with pytest.raises(UserError, match="README.md .* was changed"):
        verify(spoiled)
    (spoiled / "README.md").unlink()
    with pytest.raises(UserError, match="README.md is missing"):
        verify(spoiled)


def test_a_changed_weight_is_refused_even_with_new_sums(onnx_bundle, tmp_path) -> None:
    import onnx

    spoiled = copied(onnx_bundle, tmp_path / "spoiled")
    path = spoiled / "features.onnx"
    old = hashlib.sha256(path.read_bytes()).hexdigest()
    model = onnx.load(path)
    kernel = max(model.graph.initializer, key=lambda weights: len(weights.raw_data))
    weights = onnx.numpy_helper.to_array(kernel).copy()
    weights.flat[np.abs(weights).argmax()] *= 2
    kernel.CopyFrom(onnx.numpy_helper.from_array(weights, kernel.name))
    onnx.save(model, path)
    sums = spoiled / "SHA256SUMS"
    sums.write_text(sums.read_text().replace(old, hashlib.sha256(path.read_bytes()).hexdigest()))
    with pytest.raises(UserError, match="differs from the model"):
        verify(spoiled)


@pytest.mark.slow
def test_a_refused_export_leaves_nothing(spotter, photos, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("tf_spot.exporters.parity.TOLERANCE", -1.0)
    with pytest.raises(UserError, match="differs"):
        export(spotter, tmp_path / "out", format="tflite", part="spotter", photos=photos[:8])
    assert not list(tmp_path.iterdir())


def test_bad_options_are_refused(spotter, photos, tmp_path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    for options, word in (
        ({"format": "coreml"}, "unknown format"),
        ({"format": "onnx", "quantize": "float16"}, "allowed: none, int8"),
        ({"format": "onnx", "part": "head"}, "unknown part"),
        ({"format": "onnx", "photos": photos.astype(np.float32)}, "photos must be uint8"),
        ({"format": "onnx", "quantize": "int8", "photos": photos[:99]}, "at least 100"),
        ({"format": "onnx", "path": tmp_path / "full"}, "new or empty"),
    ):
        with pytest.raises(UserError, match=word):
            export(spotter, **({"path": tmp_path / "out", "photos": photos} | options))


def encoded(photo, kind) -> bytes:
    file = io.BytesIO()
    Image.fromarray(photo).save(file, kind)
    return file.getvalue()


def test_photos_are_decoded_in_the_graph(photos) -> None:
    np.testing.assert_array_equal(_decoded(encoded(photos[0], "PNG"), SIZE), photos[0])
    wide = np.zeros((SIZE, 4 * SIZE, 3), np.uint8)
    wide[:, 2 * SIZE :] = 255
    squeezed = _decoded(encoded(wide, "PNG"), SIZE).numpy()
    assert squeezed.shape == (SIZE, SIZE, 3) and squeezed[:, 0].max() == 0 and squeezed[:, -1].min() == 255
    assert _decoded(encoded(photos[0], "JPEG"), SIZE).shape == (SIZE, SIZE, 3)


def test_a_huge_photo_is_refused_before_it_is_decoded(photos) -> None:
    """Both headers claim 60000 x 60000 pixels; the data behind them could not be decoded."""
    png = bytearray(encoded(photos[0], "PNG"))
    png[16:24] = (60_000).to_bytes(4, "big") * 2
    jpeg = bytearray(encoded(photos[0], "JPEG"))
    frame = jpeg.index(b"\xff\xc0")
    jpeg[frame + 5 : frame + 9] = (60_000).to_bytes(2, "big") * 2
    for file in (png, jpeg):
        with pytest.raises(tf.errors.InvalidArgumentError, match="too many pixels"):
            _decoded(tf.constant(bytes(file)), SIZE)
    for file in (b"", b"no picture", b"\x89PNG", encoded(photos[0], "JPEG")[:50]):
        with pytest.raises(tf.errors.InvalidArgumentError):
            _decoded(tf.constant(file), SIZE)


@pytest.mark.slow
@pytest.mark.parametrize("part", ["features", "spotter"])
def test_saved_model(spotter, photos, tmp_path, part) -> None:
    manifest = export(spotter, tmp_path / "out", format="saved_model", part=part, photos=photos)
    assert set(manifest["parity"]) == {"1", "7", "64", "image_bytes"}
    folder = tmp_path / "out" / part / "1"
    assert b"_XlaMustCompile" not in (folder / "saved_model.pb").read_bytes()
    from tf_spot.serving.servable import Servable

    servable = Servable(folder, 1)  # runs the warm-up requests
    records = list(tf.data.TFRecordDataset(str(folder / "assets.extra" / "tf_serving_warmup_requests")))
    assert len(records) == 2
    answers = servable.run("serving_default", {"images": photos[:3].astype(np.float32)})
    assert set(answers) == set(manifest["outputs"])
    with (folder / "variables" / "variables.data-00000-of-00001").open("r+b") as file:
        file.seek(200)
        file.write(b"\x7f" * 64)
    with pytest.raises(UserError, match="was changed"):
        verify(tmp_path / "out")


@pytest.mark.slow
@pytest.mark.parametrize("quantize", ["none", "float16", "dynamic", "int8"])
def test_tflite(spotter, photos, tmp_path, quantize) -> None:
    manifest = export(spotter, tmp_path / "out", format="tflite", quantize=quantize, photos=photos)
    assert verify(tmp_path / "out")["quantization"] == quantize
    errors = [figures["relative_rms"] for figures in manifest["parity"]["64"].values()]
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


@pytest.mark.slow
def test_onnx_int8_is_smaller(spotter, photos, tmp_path, onnx_bundle) -> None:
    manifest = export(spotter, tmp_path / "out", format="onnx", quantize="int8", photos=photos)
    assert manifest["size_bytes"] < (onnx_bundle / "features.onnx").stat().st_size
    assert manifest["parity"]["64"]["conv5"]["relative_rms"] > 1e-4  # it is not the float model
