"""SavedModels: their two signatures, their warm-up requests, and only the weights they read."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tests.exporters.conftest import NAMES
from tf_spot.errors import UserError
from tf_spot.exporters import export, verify
from tf_spot.exporters.saved_model import WARM_UP, _image_bytes, _write_warm_up, answers, write_saved_model
from tf_spot.exporters.signature import Signature


def turned_photo(photo) -> tuple[bytes, bytes]:
    """A JPEG file whose EXIF orientation turns it clockwise, and a PNG file that is turned."""
    exif = Image.Exif()
    exif[0x0112] = 6
    stored, upright = io.BytesIO(), io.BytesIO()
    Image.fromarray(photo).save(stored, "JPEG", exif=exif)
    Image.fromarray(np.rot90(np.asarray(Image.open(stored)), -1)).save(upright, "PNG")
    return stored.getvalue(), upright.getvalue()


def test_there_is_one_warm_up_request_per_signature(photos, tmp_path) -> None:
    from tensorflow_serving.apis import prediction_log_pb2

    path = tmp_path / WARM_UP
    _write_warm_up(path, "features", photos)
    records = list(tf.data.TFRecordDataset(str(path)).as_numpy_iterator())
    requests = [prediction_log_pb2.PredictionLog.FromString(record).predict_log.request for record in records]
    assert [request.model_spec.signature_name for request in requests] == ["serving_default", "image_bytes"]
    assert {request.model_spec.name for request in requests} == {"features"}
    np.testing.assert_array_equal(tf.make_ndarray(requests[0].inputs["images"]), photos[:1])
    assert tf.make_ndarray(requests[1].inputs["image_bytes"])[0].startswith(b"\xff\xd8")  # a JPEG file


@pytest.fixture(scope="module")
def features(spotter, photos, tmp_path_factory) -> Path:
    """The features, not compared with the model."""
    folder = tmp_path_factory.mktemp("features") / "1"
    write_saved_model(Signature(spotter, "features"), folder, photos)
    return folder


def test_by_default_features_answer_with_the_embedding_alone(features, spotter, photos) -> None:
    images = photos[:2].astype(np.float32)
    expected = Signature(spotter, "features").images(images)["embedding"].numpy()
    signatures = tf.saved_model.load(str(features)).signatures
    files = tf.stack([tf.io.encode_png(photo) for photo in photos[:2]])
    by_default = signatures["serving_default"](images=tf.constant(images))
    for found in (by_default, signatures["image_bytes"](image_bytes=files)):
        assert list(found) == ["embedding"]
        np.testing.assert_allclose(found["embedding"], expected, rtol=1e-4, atol=1e-4)
    every = signatures["maps"](images=tf.constant(images))
    texts = [json.dumps({name: one.numpy().tolist() for name, one in each.items()}) for each in (by_default, every)]
    assert len(texts[1]) > 100 * len(texts[0])


def test_maps_are_given_by_name(features, spotter, photos) -> None:
    images = photos[:2].astype(np.float32)
    expected = Signature(spotter, "features").images(images)
    signatures = tf.saved_model.load(str(features)).signatures
    assert set(signatures) == set(answers("features"))
    for layer in ("conv1", "conv2", "conv3", "conv4", "conv5"):
        found = signatures[layer](images=tf.constant(images))
        assert list(found) == [layer]
        np.testing.assert_allclose(found[layer], expected[layer], rtol=1e-4, atol=1e-4)
    files = tf.stack([tf.io.encode_png(photo) for photo in photos[:2]])
    for found in (signatures["maps"](images=tf.constant(images)), signatures["image_bytes_maps"](image_bytes=files)):
        assert set(found) == set(expected)
        np.testing.assert_allclose(found["conv3"], expected["conv3"], rtol=1e-4, atol=1e-4)


def test_photos_are_decoded_one_after_the_other(spotter) -> None:
    """Ten of the largest photos decoded at once would take 3 GB."""
    graph = _image_bytes(Signature(spotter, "features")).get_concrete_function().graph
    (loop,) = [operation for operation in graph.get_operations() if operation.type in ("While", "StatelessWhile")]
    assert loop.get_attr("parallel_iterations") == 1


@pytest.mark.slow
@pytest.mark.parametrize("part", ["features", "spotter", "classifier"])
def test_saved_model(spotter, classifier, photos, tmp_path, part) -> None:
    model = classifier if part == "classifier" else spotter
    manifest = export(model, tmp_path / "out", format="saved_model", part=part, photos=photos)
    every = "maps" if part == "features" else "serving_default"
    assert set(manifest["parity"]) == {"1", "7", "64", *manifest["signatures"]} - {every}
    folder = tmp_path / "out" / part / "1"
    assert b"_XlaMustCompile" not in (folder / "saved_model.pb").read_bytes()
    from tf_spot.serving.servable import Servable

    servable = Servable(folder, 1)  # runs the warm-up requests
    records = list(tf.data.TFRecordDataset(str(folder / "assets.extra" / "tf_serving_warmup_requests")))
    assert len(records) == 2
    outputs = servable.run(every, {"images": photos[:3].astype(np.float32)})
    assert set(outputs) == set(manifest["outputs"])
    if part == "classifier":
        files = np.array([tf.io.encode_png(photo).numpy() for photo in photos[:3]], object)
        named = servable.run("image_bytes", {"image_bytes": files})
        assert [[name.decode() for name in row] for row in named["class_names"]] == [NAMES] * 3
        np.testing.assert_allclose(named["probabilities"], outputs["probabilities"], atol=1e-5)
        assert manifest["class_names"] == NAMES
    stored, upright = turned_photo(photos[0])
    output = servable.run("image_bytes", {"image_bytes": np.array([stored, upright], object)})
    first, second = output[list(manifest["outputs"])[-1]]
    np.testing.assert_allclose(first, second, atol=1e-4 * np.abs(second).max())
    weights = folder / "variables" / "variables.data-00000-of-00001"
    if part == "features":  # and not the whole discriminator
        assert weights.stat().st_size < 4 * sum(np.size(v) for v in spotter.backbone.variables) + 20_000
    with weights.open("r+b") as file:
        file.seek(200)
        file.write(b"\x7f" * 64)
    with pytest.raises(UserError, match="was changed"):
        verify(tmp_path / "out")
