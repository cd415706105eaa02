"""Whole exports: artifacts compute what the model computes, and are refused when their options or weights are wrong."""

import hashlib
import json

import numpy as np
import pytest
from PIL import Image

from tests.exporters.conftest import CONFIG, NAMES, SIZE
from tf_spot.errors import UserError
from tf_spot.exporters import export, run_artifact, verify
from tf_spot.exporters.saved_model import answers
from tf_spot.inference.embedder import open_embedder
from tf_spot.runs.cards import pretrained_card
from tf_spot.runs.pretrained import load_pretrained


def test_a_changed_weight_is_refused_even_with_new_sums(copy_of_bundle) -> None:
    import onnx

    path = copy_of_bundle / "features.onnx"
    old = hashlib.sha256(path.read_bytes()).hexdigest()
    model = onnx.load(path)
    kernel = max(model.graph.initializer, key=lambda weights: len(weights.raw_data))
    weights = onnx.numpy_helper.to_array(kernel).copy()
    weights.flat[np.abs(weights).argmax()] *= 2
    kernel.CopyFrom(onnx.numpy_helper.from_array(weights, kernel.name))
    onnx.save(model, path)
    sums = copy_of_bundle / "SHA256SUMS"
    sums.write_text(sums.read_text().replace(old, hashlib.sha256(path.read_bytes()).hexdigest()))
    with pytest.raises(UserError, match="differs from the model"):
        verify(copy_of_bundle)


@pytest.mark.slow
def test_a_refused_export_leaves_nothing(spotter, photos, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("tf_spot.exporters.parity.TOLERANCE", -1.0)
    with pytest.raises(UserError, match="differs"):
        export(spotter, tmp_path / "out", format="tflite", part="spotter", photos=photos[:8])
    assert not list(tmp_path.iterdir())


def test_bad_options_are_refused(spotter, photos, tmp_path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    (tmp_path / "flat").mkdir()
    Image.fromarray(photos[0]).save(tmp_path / "flat" / "photo.png")
    for options, word in (
        ({"format": "coreml"}, "unknown format"),
        ({"format": "onnx", "quantize": "float16"}, "allowed: none, int8"),
        ({"format": "onnx", "part": "head"}, "unknown part"),
        ({"format": "onnx", "photos": photos.astype(np.float32)}, "photos must be uint8"),
        ({"format": "onnx", "quantize": "int8", "photos": photos[:99]}, "at least 100"),
        ({"format": "onnx", "path": tmp_path / "full"}, "new or empty"),
        ({"format": "onnx", "part": "spotter", "probe": "photos"}, "part features gives"),
        ({"format": "onnx", "image_size": "any"}, "--image-size must be one of fixed, dynamic; received: 'any'"),
        ({"format": "onnx", "image_size": "dynamic", "quantize": "int8"}, "dynamic is not for int8"),
        ({"format": "onnx", "image_size": "dynamic", "part": "spotter"}, "dynamic is for the part features"),
        ({"format": "onnx", "probe": f"folder:{tmp_path / 'flat'}"}, "--probe needs labelled photos"),
    ):
        with pytest.raises(UserError, match=word):
            export(spotter, **({"path": tmp_path / "out", "photos": photos} | options))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "quantize"),
    [("saved_model", "none"), ("onnx", "none"), ("tflite", "none"), ("tflite", "float16"), ("tflite", "dynamic")],
)
def test_an_artifact_for_any_size(spotter, photos, tmp_path, kind, quantize) -> None:
    out = tmp_path / "out"
    options = {"format": kind, "quantize": quantize, "image_size": "dynamic"}
    manifest = export(spotter, out, photos=photos, config=CONFIG, **options)
    sizes = {"1", "7", "64", "7 at 32x48", "7 at 37x37"}
    assert set(manifest["parity"]) == sizes | (set(answers("features")) - {"maps"} if kind == "saved_model" else set())
    written = json.loads((out / "manifest.json").read_text())
    assert written["inputs"]["images"]["shape"] == ["batch", None, None, 3]
    assert written["outputs"]["conv1"]["shape"][:3] == ["batch", None, None]
    assert written["outputs"]["embedding"]["shape"] == manifest["outputs"]["embedding"]["shape"]
    card = (out / "README.md").read_text()
    assert "float32 (batch, any, any, 3)" in card and "trained at 32x32" in card
    assert verify(out)["part"] == "features"
    images = np.random.default_rng(0).uniform(0, 255, (3, 51, 20, 3)).astype(np.float32)  # a size never tried before
    outputs = run_artifact.OPEN[kind](str(out / manifest["artifact"]))(images)
    expected = spotter.backbone(images / 127.5 - 1)["conv3"].numpy()
    allowed = {"none": 1e-4, "float16": 1e-2, "dynamic": 0.1}[quantize]
    np.testing.assert_allclose(outputs["conv3"], expected, atol=allowed * np.abs(expected).max())
    embedder = open_embedder(out)
    assert embedder.image_size == SIZE and embedder(np.zeros((2, SIZE, SIZE, 3), np.float32)).shape[0] == 2
    if kind == "saved_model":
        from tf_spot.serving.servable import Servable

        servable = Servable(out / "features" / "1", 1)  # runs the warm-up requests
        for size in ((51, 20), (SIZE, SIZE)):
            given = {"images": np.zeros((2, *size, 3), np.float32)}
            servable.check("serving_default", given)
            assert servable.run("serving_default", given)["embedding"].shape == outputs["embedding"][:2].shape
    if kind == "onnx":
        import onnx

        (value,) = onnx.load(out / "features.onnx").graph.input
        assert [side.dim_param for side in value.type.tensor_type.shape.dim[:3]] == ["batch", "height", "width"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["tflite", "onnx"])
def test_a_classifier_in_other_formats(classifier, photos, tmp_path, kind) -> None:
    manifest = export(classifier, tmp_path / "out", format=kind, part="classifier", quantize="int8", photos=photos)
    assert manifest["class_names"] == NAMES and manifest["outputs"]["probabilities"]["shape"] == ["batch", 3]
    assert verify(tmp_path / "out")["part"] == "classifier"
    if kind == "onnx":
        import onnx

        metadata = onnx.load(tmp_path / "out" / "classifier.onnx").metadata_props
        assert json.loads({prop.key: prop.value for prop in metadata}["class_names"]) == NAMES


@pytest.mark.slow
def test_an_artifact_worse_than_recorded_is_refused(spotter, photos, tmp_path) -> None:
    """An int8 file in place of a float16 one, with a manifest that says so: allowed once, but not what was exported."""
    folders = {}
    for quantize in ("float16", "int8"):
        folders[quantize] = tmp_path / quantize
        export(spotter, folders[quantize], format="tflite", quantize=quantize, photos=photos)
    worse, artifact = folders["float16"], "features.tflite"
    sums = (worse / "SHA256SUMS").read_text()
    old = hashlib.sha256((worse / artifact).read_bytes()).hexdigest()
    (worse / artifact).write_bytes((folders["int8"] / artifact).read_bytes())
    new = hashlib.sha256((worse / artifact).read_bytes()).hexdigest()
    (worse / "SHA256SUMS").write_text(sums.replace(old, new))
    with pytest.raises(UserError, match="worse than when it was exported"):
        verify(worse)


def test_weights_of_the_package_are_exported_by_name_with_their_licence(tmp_path) -> None:
    """Whoever ships them must know their terms."""
    name = "imagenette96-small"
    manifest = export(name, tmp_path / "out", format="onnx")
    card = pretrained_card(name)
    assert manifest["weights"] == {fact: card[fact] for fact in ("name", "sha256", "data", "licence", "limits")}
    assert manifest["config"]["preset"] == "small" and manifest["inputs"]["images"]["shape"][1] == 64
    readme = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert card["licence"] in readme and all(f"- {limit}\n" in readme for limit in card["limits"])
    images = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3)).astype(np.float32)
    found = run_artifact.open_onnx(str(tmp_path / "out" / "features.onnx"))(images)["conv5"]
    np.testing.assert_allclose(found, load_pretrained(name)(images / 127.5 - 1)["conv5"], atol=1e-3)
    with pytest.raises(UserError, match="part spotter needs a model of class ArtifactSpotter"):
        export(name, tmp_path / "other", format="onnx", part="spotter")
    with pytest.raises(UserError, match="unknown pretrained backbone; allowed: .*; received: nobody"):
        export("nobody", tmp_path / "other", format="onnx")
