"""Grids of held-out photos: which photos, what is shown of each, when."""

from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tf_spot.config import preset
from tf_spot.models.autoencoder import Autoencoder
from tf_spot.models.discriminator import Discriminator
from tf_spot.models.gan import GAN
from tf_spot.models.spotter import ArtifactSpotter
from tf_spot.runs.run import Run
from tf_spot.training.picture_grid import PictureGrid, corruption_rows, reconstruction_rows, some_photos
from tf_spot.visualization import pictures

LEFT, GAP, SIZE = pictures._LABEL_WIDTH, pictures._GAP, pictures._SMALLEST


@pytest.fixture(scope="module")
def spotter():
    return ArtifactSpotter(Autoencoder(image_size=32, width=0.125, levels=2), drop_rate=0.5, history_batches=0)


def test_rows_show_each_step_from_photo_to_predicted_mask(spotter):
    images = tf.random.stateless_uniform((3, 32, 32, 3), (0, 0), -1, 1)
    rows = corruption_rows(spotter, images)
    assert list(rows) == ["images", "decoded", "mask", "not repaired", "repaired", "predicted mask"]
    assert rows["mask"].shape == rows["predicted mask"].shape == (3, 8, 8, 1)
    assert set(np.unique(rows["mask"])) == {-1.0, 1.0}
    np.testing.assert_allclose(rows["decoded"], spotter.autoencoder(images), atol=1e-6)
    assert np.abs(rows["not repaired"] - rows["decoded"]).max() > 1e-3
    assert np.abs(rows["not repaired"] - rows["repaired"]).max() > 1e-3
    assert np.abs(rows["predicted mask"]).max() <= 1


def test_a_gan_shows_what_it_generates_and_no_damage():
    autoencoder = Autoencoder(image_size=32, width=0.125, levels=2)
    discriminator = Discriminator(image_size=32, width=0.125, stem_stride=1, fc_units=8, predict_mask=False)
    rows = corruption_rows(GAN(autoencoder, discriminator, history_batches=0), tf.zeros((3, 32, 32, 3)))
    assert list(rows) == ["images", "decoded", "generated"] and rows["generated"].shape == (3, 32, 32, 3)


def test_grids_are_written_every_so_many_epochs_and_to_tensorboard(spotter, tmp_path):
    run = Run.create(tmp_path / "run", preset("tiny"), {})
    source = SimpleNamespace(held_out=lambda b: tf.data.Dataset.from_tensors(tf.zeros((32, 32, 3))).repeat(9).batch(b))
    writer = tf.summary.create_file_writer(str(tmp_path / "events"))
    position = SimpleNamespace(stage="spotter", step=40, every=lambda n: epoch % n == 0)
    callback = PictureGrid(position, run, source, 2, writer)
    callback.set_model(spotter)
    for epoch in (1, 2):
        callback.on_epoch_end(epoch - 1)
    assert [path.name for path in (run.path / "pictures").iterdir()] == ["spotter-0002.png"]
    with Image.open(run.picture_path("spotter", 2)) as picture:
        assert picture.size == (LEFT + 8 * (SIZE + GAP), 6 * (SIZE + GAP))
    writer.flush()
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(tmp_path / "events"))
    events.Reload()
    assert events.Tags()["tensors"] == ["pictures/repaired"]


def test_photos_shown_are_spread_over_those_held_out():
    source = SimpleNamespace(held_out=lambda b: tf.data.Dataset.range(25).batch(b))
    assert some_photos(source).numpy().tolist() == [0, 3, 6, 9, 12, 15, 18, 21]
    source = SimpleNamespace(held_out=lambda b: tf.data.Dataset.range(3).batch(b))
    assert some_photos(source).numpy().tolist() == [0, 1, 2]


def test_without_held_out_photos_training_photos_are_shown():
    empty = tf.data.Dataset.range(0)
    source = SimpleNamespace(
        held_out=lambda b: empty.batch(b), images=lambda split, b: tf.data.Dataset.range(2).batch(b)
    )
    assert some_photos(source).numpy().tolist() == [0, 1]


def test_stage_1_shows_photos_and_their_copies(spotter):
    images = tf.random.stateless_uniform((2, 32, 32, 3), (0, 0), -1, 1)
    rows = reconstruction_rows(spotter.autoencoder, images)
    assert list(rows) == ["images", "decoded"]
    np.testing.assert_array_equal(rows["images"], images)
    np.testing.assert_array_equal(rows["decoded"], spotter.autoencoder(images))
