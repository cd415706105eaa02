"""What TensorBoard's projector is given: every photo's vector, label and thumbnail in its place."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format
from PIL import Image
from tensorboard.plugins.projector import ProjectorConfig

from tf_spot.training.tensorboard_projector import THUMBNAIL, Projector, label_texts

LEVELS = np.array([-1.0, 0.0, 0.2, 0.6, 1.0], np.float32)


class Model(keras.Model):
    """Its conv5 has the image's level and twice it, everywhere."""

    def backbone(self, images):
        level = images[:, :2, :2, :1]
        return {"conv5": tf.concat([level, 2 * level], axis=-1)}


def source(labels: np.ndarray, class_names: list[str] | None) -> SimpleNamespace:
    images = np.broadcast_to(LEVELS[:, None, None, None], (5, 16, 16, 3))
    photos = tf.data.Dataset.from_tensor_slices((images, labels.astype(np.int32)))
    return SimpleNamespace(count=lambda split: 5, held_out_labelled=photos.batch, class_names=class_names)


def written(folder: Path, labels: np.ndarray, class_names: list[str] | None, step: int = 4) -> None:
    callback = Projector(SimpleNamespace(step=step, total_steps=4), source(labels, class_names), folder)
    callback.set_model(Model())
    callback.on_epoch_end(0)


def test_features_labels_and_thumbnails_are_in_one_order(tmp_path: Path) -> None:
    written(tmp_path, np.array([1, 0, 1, 0, 1]), ["a\tb", "c\nd"])
    config = text_format.Parse((tmp_path / "projector_config.pbtxt").read_text(), ProjectorConfig())
    (embedding,) = config.embeddings
    features = np.loadtxt(tmp_path / embedding.tensor_path, delimiter="\t")
    np.testing.assert_allclose(features, np.stack([LEVELS, 2 * LEVELS], axis=1), atol=1e-6)
    assert (tmp_path / embedding.metadata_path).read_text().splitlines() == ["c d", "a b", "c d", "a b", "c d"]
    assert list(embedding.sprite.single_image_dim) == [THUMBNAIL, THUMBNAIL]
    with Image.open(tmp_path / embedding.sprite.image_path) as picture:
        pixels = np.asarray(picture)
    assert pixels.shape == (3 * THUMBNAIL, 3 * THUMBNAIL, 3), "five photos want a square of three by three"
    middles = pixels[THUMBNAIL // 2 :: THUMBNAIL, THUMBNAIL // 2 :: THUMBNAIL, 0].ravel()
    assert middles.tolist() == [0, 128, 153, 204, 255, 255, 255, 255, 255]


def test_nothing_is_written_before_the_end(tmp_path: Path) -> None:
    written(tmp_path, np.zeros(5), None, step=3)
    assert not list(tmp_path.iterdir())


def test_photos_without_labels_have_none(tmp_path: Path) -> None:
    written(tmp_path, np.full(5, -1), None)
    assert "metadata" not in (tmp_path / "projector_config.pbtxt").read_text()
    assert label_texts(np.array([2, -1]), None) == ["2", ""]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # TensorBoard's server
def test_tensorboard_shows_them(tmp_path: Path) -> None:
    from tensorboard import program

    folder = tmp_path / "spotter"
    with tf.summary.create_file_writer(str(folder)).as_default(step=0):
        tf.summary.scalar("loss", 1.0)
    written(folder, np.array([1, 0, 1, 0, 1]), ["a", "b"])
    board = program.TensorBoard()
    board.configure(argv=["", "--logdir", str(tmp_path), "--port", "0", "--load_fast", "false"])
    address = f"{board.launch()}data/plugin/projector"

    def asked(path: str) -> bytes:
        with urllib.request.urlopen(f"{address}/{path}", timeout=60) as answer:
            return answer.read()

    assert json.loads(asked("runs")) == ["spotter"]
    (embedding,) = json.loads(asked("info?run=spotter"))["embeddings"]
    assert embedding["tensorShape"] == [5, 2]
    assert asked("metadata?run=spotter&name=conv5%20of%20held-out%20photos").split() == [b"b", b"a", b"b", b"a", b"b"]
