"""Exported artifacts answer as the model does, carry what is needed to check them, and are refused when spoiled."""

import hashlib
import io
import json
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tf_spot.config import preset
from tf_spot.data import load
from tf_spot.errors import UserError
from tf_spot.evaluation import linear_probe
from tf_spot.exporters import export, verify
from tf_spot.exporters import run_artifact as reopen
from tf_spot.exporters.parity import (
    _difference,
    measure,
    other_sizes,
    refuse_if_different,
    refuse_if_worse,
    refuse_other_names,
)
from tf_spot.exporters.probe import MOST, _embeddings, open_labelled
from tf_spot.exporters.signature import Part, sample_photos
from tf_spot.inference.embed import open_embedder
from tf_spot.inference.heat_map import spot
from tf_spot.models.classifier import Classifier
from tf_spot.models.from_config import build_autoencoder, build_spotter

CONFIG = preset("tiny").replace(
    **{"network.width": 0.125, "network.fc_units": 8, "network.trunk_norm": "response", "training.batch_size": 4}
)
SIZE = CONFIG.data.image_size


@pytest.fixture(scope="module")
def spotter():
    return build_spotter(CONFIG, build_autoencoder(CONFIG))


NAMES = ["ant", "bee", "höhe"]


@pytest.fixture(scope="module")
def classifier(spotter):
    return Classifier(spotter.backbone, NAMES, image_size=SIZE)


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


def test_features_of_any_size(spotter, photos) -> None:
    part = Part(spotter, "features", any_size=True)
    for photo in ((SIZE, SIZE), (SIZE + 9, 3 * SIZE)):
        images = np.random.default_rng(0).uniform(0, 255, (2, *photo, 3)).astype(np.float32)
        answers, expected = part.images(images), spotter.backbone(images / 127.5 - 1)
        np.testing.assert_allclose(answers["conv5"], expected["conv5"], rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(answers["embedding"], np.mean(expected["conv5"], (1, 2)), rtol=1e-4, atol=1e-4)
    assert part.image_size == SIZE and Part(spotter, "features").images.input_signature[0].shape[1] == SIZE


def test_parts_of_one_size_say_so(spotter, classifier) -> None:
    for model, name in ((spotter, "spotter"), (classifier, "classifier")):
        with pytest.raises(UserError, match=f"is for the part features; received: {name}, whose dense layer"):
            Part(model, name, any_size=True)


def test_an_artifact_for_any_size_is_compared_at_two_more(photos) -> None:
    resized = other_sizes(photos)
    assert {name: value.shape for name, value in resized.items()} == {
        "32x48": (7, 32, 48, 3),
        "37x37": (7, 37, 37, 3),
    }
    assert abs(resized["37x37"].mean() - photos[:7].mean()) < 2  # they are the photos
    found = {"1/a": np.array([1.0]), "2 at 3x4/a": np.array([5.0, 7.0])}
    figures = measure(found, {"a": np.array([1.0])}, {"3x4": {"a": np.array([5.0, 6.0])}})
    assert figures["1"]["a"]["largest_difference"] == 0 and figures["2 at 3x4"]["a"]["largest_difference"] == 1


def test_the_spotter_part_agrees_with_spot(spotter, photos) -> None:
    answers = Part(spotter, "spotter").images(photos[:1].astype(np.float32))
    seen = spot(spotter, photos[0])
    assert float(answers["artifact_score"][0]) == pytest.approx(seen.score, abs=1e-5)
    np.testing.assert_allclose(answers["heat_map"][0], seen.heat_map, atol=1e-5)


def test_the_classifier_part_gives_probabilities(classifier, photos) -> None:
    images = photos[:3].astype(np.float32)
    answers = Part(classifier, "classifier").images(images)
    expected = tf.nn.softmax(classifier(images / 127.5 - 1))
    np.testing.assert_allclose(answers["probabilities"], expected, atol=1e-5)
    assert len(answers) == 1 and np.std(expected) > 1e-3


def test_a_part_holds_the_variables_it_reads_and_no_others(spotter, classifier) -> None:
    for model, name, read in (
        (spotter, "features", spotter.backbone),
        (spotter, "spotter", spotter.discriminator),
        (classifier, "classifier", classifier),
    ):
        held = {id(variable) for variable in Part(model, name).held}
        assert held == {id(variable.value) for variable in read.variables}
    assert len(spotter.discriminator.variables) > len(spotter.backbone.variables)


def test_a_part_is_of_its_own_model(spotter, classifier) -> None:
    with pytest.raises(UserError, match="of a Classifier; received: ArtifactSpotter; .*load_classifier"):
        Part(spotter, "classifier")
    with pytest.raises(UserError, match="of a ArtifactSpotter; received: Classifier; .*load_spotter"):
        Part(classifier, "features")


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


def test_what_is_measured() -> None:
    found = {"1/a": np.array([1.0]), "3/a": np.array([1.0, 2.0, 1.5])}
    figures = measure(found, {"a": np.array([1.0, 2.0])})  # photos repeated: 1, 2, 1
    assert figures["1"]["a"]["largest_difference"] == 0 and figures["3"]["a"]["largest_difference"] == 0.5
    for wrong in ({"1/b": np.array([1.0])}, {"1/a": np.array([[1.0]])}, {"1/a": np.array([1.0]), "2/c": np.zeros(2)}):
        with pytest.raises(UserError, match="the artifact gives"):
            measure(wrong, {"a": np.array([1.0, 2.0])})


@pytest.mark.parametrize(("was", "now", "worse"), [
    (0.01, 0.019, False), (0.01, 0.021, True), (0.01, float("nan"), True), (1e-7, 9e-5, False), (1e-7, 2e-4, True),
])  # fmt: skip
def test_what_is_clearly_worse_than_recorded_is_refused(was, now, worse) -> None:
    recorded, figures = ({"7": {"conv1": {"relative_rms": value}}} for value in (was, now))
    if not worse:
        return refuse_if_worse(figures, recorded)
    with pytest.raises(UserError, match="worse than when it was exported: conv1 at batch 7"):
        refuse_if_worse(figures, recorded)


def test_names_of_classes_are_compared() -> None:
    given = np.array([[name.encode() for name in NAMES]] * 2)
    answers = {"image_bytes/class_names": given, "image_bytes/probabilities": np.zeros((2, 3))}
    refuse_other_names(dict(answers), NAMES)
    refuse_other_names({"1/probabilities": np.zeros((2, 3))}, NAMES)  # no such signature
    for changed, names in ((answers, NAMES[::-1]), ({"image_bytes/probabilities": np.zeros((2, 3))}, NAMES)):
        with pytest.raises(UserError, match="other names"):
            refuse_other_names(dict(changed), names)


def test_an_onnx_bundle_is_whole(onnx_bundle) -> None:
    manifest = json.loads((onnx_bundle / "manifest.json").read_text())
    assert set(manifest["parity"]) == {"1", "7", "64"}
    assert all(v["share"] <= 1e-4 for outputs in manifest["parity"].values() for v in outputs.values())
    assert set(manifest["outputs"]) == {"conv1", "conv2", "conv3", "conv4", "conv5", "embedding"}
    assert (
        manifest["config"] == CONFIG.to_dict()
        and manifest["size_bytes"] == (onnx_bundle / "features.onnx").stat().st_size
    )
    assert manifest["class_names"] is None and manifest["versions"]["onnxruntime"] and manifest["versions"]["tf2onnx"]
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


def test_a_manifest_of_another_version_is_named(onnx_bundle, tmp_path) -> None:
    old = copied(onnx_bundle, tmp_path / "old")
    manifest = json.loads((old / "manifest.json").read_text())
    del manifest["reference_parity"]
    (old / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(UserError, match="lacks reference_parity"):
        verify(old)


@pytest.mark.parametrize(("kind", "module", "extra"), [
    ("saved_model", "tensorflow_serving", "serving"), ("tflite", "ai_edge_litert", "litert"),
    ("onnx", "onnxruntime", "onnx"), ("onnx", "tf2onnx", "onnx"),
])  # fmt: skip
def test_a_missing_extra_is_named(spotter, photos, tmp_path, monkeypatch, kind, module, extra) -> None:
    monkeypatch.setitem(sys.modules, module, None)  # as if it were not installed
    with pytest.raises(UserError, match=rf"which is missing; run pip install tf-spot\[{extra}\]"):
        export(spotter, tmp_path / "out", format=kind, photos=photos)
    assert not list(tmp_path.iterdir())


def test_verify_needs_only_what_runs_the_artifact(onnx_bundle, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "tf2onnx", None)
    verify(onnx_bundle)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UserError, match="onnxruntime, which is missing"):
        verify(onnx_bundle)


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
        ({"format": "onnx", "probe": f"folder:{tmp_path / 'flat'}"}, "--probe wants labelled photos"),
    ):
        with pytest.raises(UserError, match=word):
            export(spotter, **({"path": tmp_path / "out", "photos": photos} | options))


def turned_photo(photo) -> tuple[bytes, bytes]:
    """A JPEG file that asks to be turned clockwise, and a PNG file that is turned."""
    exif = Image.Exif()
    exif[0x0112] = 6
    stored, upright = io.BytesIO(), io.BytesIO()
    Image.fromarray(photo).save(stored, "JPEG", exif=exif)
    Image.fromarray(np.rot90(np.asarray(Image.open(stored)), -1)).save(upright, "PNG")
    return stored.getvalue(), upright.getvalue()


@pytest.mark.slow
@pytest.mark.parametrize("part", ["features", "spotter", "classifier"])
def test_saved_model(spotter, classifier, photos, tmp_path, part) -> None:
    model = classifier if part == "classifier" else spotter
    manifest = export(model, tmp_path / "out", format="saved_model", part=part, photos=photos)
    assert set(manifest["parity"]) == {"1", "7", "64", "image_bytes"}
    folder = tmp_path / "out" / part / "1"
    assert b"_XlaMustCompile" not in (folder / "saved_model.pb").read_bytes()
    from tf_spot.serving.servable import Servable

    servable = Servable(folder, 1)  # runs the warm-up requests
    records = list(tf.data.TFRecordDataset(str(folder / "assets.extra" / "tf_serving_warmup_requests")))
    assert len(records) == 2
    answers = servable.run("serving_default", {"images": photos[:3].astype(np.float32)})
    assert set(answers) == set(manifest["outputs"])
    if part == "classifier":
        files = np.array([tf.io.encode_png(photo).numpy() for photo in photos[:3]], object)
        named = servable.run("image_bytes", {"image_bytes": files})
        assert [[name.decode() for name in row] for row in named["class_names"]] == [NAMES] * 3
        np.testing.assert_allclose(named["probabilities"], answers["probabilities"], atol=1e-5)
        assert manifest["class_names"] == NAMES
    stored, upright = turned_photo(photos[0])
    answer = servable.run("image_bytes", {"image_bytes": np.array([stored, upright], object)})
    first, second = answer[list(manifest["outputs"])[-1]]
    np.testing.assert_allclose(first, second, atol=1e-4 * np.abs(second).max())
    weights = folder / "variables" / "variables.data-00000-of-00001"
    if part == "features":  # and not the whole discriminator
        assert weights.stat().st_size < 4 * sum(np.size(v) for v in spotter.backbone.variables) + 20_000
    with weights.open("r+b") as file:
        file.seek(200)
        file.write(b"\x7f" * 64)
    with pytest.raises(UserError, match="was changed"):
        verify(tmp_path / "out")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "quantize"),
    [("saved_model", "none"), ("onnx", "none"), ("tflite", "none"), ("tflite", "float16"), ("tflite", "dynamic")],
)
def test_an_artifact_for_any_size(spotter, photos, tmp_path, kind, quantize) -> None:
    out = tmp_path / "out"
    options = {"format": kind, "quantize": quantize, "image_size": "dynamic"}
    manifest = export(spotter, out, photos=photos, config=CONFIG, **options)
    sizes = {"1", "7", "64", "7 at 32x48", "7 at 37x37"} | ({"image_bytes"} if kind == "saved_model" else set())
    assert set(manifest["parity"]) == sizes
    written = json.loads((out / "manifest.json").read_text())
    assert written["inputs"]["images"]["shape"] == ["batch", None, None, 3]
    assert written["outputs"]["conv1"]["shape"][:3] == ["batch", None, None]
    assert written["outputs"]["embedding"]["shape"] == manifest["outputs"]["embedding"]["shape"]
    card = (out / "README.md").read_text()
    assert "float32 (batch, any, any, 3)" in card and "trained at 32x32" in card
    assert verify(out)["part"] == "features"
    images = np.random.default_rng(0).uniform(0, 255, (3, 51, 20, 3)).astype(np.float32)  # a size never asked about
    answers = reopen.OPEN[kind](str(out / manifest["artifact"]))(images)
    expected = spotter.backbone(images / 127.5 - 1)["conv3"].numpy()
    allowed = {"none": 1e-4, "float16": 1e-2, "dynamic": 0.1}[quantize]
    np.testing.assert_allclose(answers["conv3"], expected, atol=allowed * np.abs(expected).max())
    embedder = open_embedder(out)
    assert embedder.image_size == SIZE and embedder(np.zeros((2, SIZE, SIZE, 3), np.float32)).shape[0] == 2
    if kind == "saved_model":
        from tf_spot.serving.servable import Servable

        servable = Servable(out / "features" / "1", 1)  # runs the warm-up requests
        for size in ((51, 20), (SIZE, SIZE)):
            given = {"images": np.zeros((2, *size, 3), np.float32)}
            servable.check("serving_default", given)
            assert servable.run("serving_default", given)["embedding"].shape == answers["embedding"][:2].shape
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
    assert "LRN" in manifest["float_operations"] and "Conv" not in manifest["float_operations"]
    assert "Computed in float all the same: LRN" in (tmp_path / "out" / "README.md").read_text()
    assert manifest["parity"]["64"]["conv5"]["relative_rms"] > 1e-4  # it is not the float model


@pytest.mark.slow
def test_the_probe_is_that_of_evaluate_on_the_embedding(spotter, photos, tmp_path, monkeypatch) -> None:
    """All the photos are taken, so that the float32 figure is that of evaluate, but for rounding to 0 ... 255."""
    monkeypatch.setitem(MOST, "train", 3000)
    manifest = export(
        spotter, tmp_path / "out", format="tflite", quantize="int8", photos=photos, config=CONFIG, probe="photos"
    )
    found = manifest["linear_probe"]
    source = load("photos", image_size=SIZE, config=CONFIG.data)
    assert (found["train_images"], found["test_images"]) == (source.count("train"), source.count("test"))
    sets = [source.labelled(split, 64) for split in ("train", "test")]
    expected = linear_probe(spotter.backbone, *sets, ["conv5"], num_values=1)["value"]
    assert found["float32"] == pytest.approx(expected, abs=1.0)
    assert found["data"] == "photos" and found["artifact"] == pytest.approx(expected, abs=10)
    assert found["artifact"] != found["float32"] and expected > 30  # of ten classes
    assert (
        f"{found['artifact']} %, of the float32 model {found['float32']} %" in (tmp_path / "out/README.md").read_text()
    )


def test_probed_photos_are_spread_over_the_split(monkeypatch, tmp_path) -> None:
    """Six photos of three classes in order; one cannot be read."""
    for number in range(12):
        folder = tmp_path / ("train" if number < 6 else "test") / "abc"[number % 6 // 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (SIZE, SIZE), (20 * number, 0, 0)).save(folder / f"{number}.png")
    (tmp_path / "train" / "a" / "0.png").write_bytes(b"spoiled")
    source = open_labelled(f"folder:{tmp_path}", CONFIG)

    class Red:
        def images(self, images):
            return {"embedding": images[:, 0, 0, :1]}

    def doubled(images):
        return {"embedding": 2 * images[:, 0, 0, :1]}

    pairs, labels = _embeddings(Red(), doubled, source, "train")
    np.testing.assert_allclose(pairs[:, 0, 0, 0, 0], [20, 40, 60, 80, 100], atol=1)
    np.testing.assert_allclose(pairs[..., 1], 2 * pairs[..., 0])
    assert labels.tolist() == [0, 1, 1, 2, 2]
    monkeypatch.setitem(MOST, "test", 3)
    assert _embeddings(Red(), doubled, source, "test")[1].tolist() == [0, 1, 2]
