"""What is decoded, damaged and repaired of a batch is what the game makes of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tests.support.evaluation_data import CONFIG, SIZE
from tf_spot.image_quality.copies import psnr
from tf_spot.models.from_config import build_autoencoder, build_spotter
from tf_spot.models.spotter import ArtifactSpotter
from tf_spot.training.altered_photos import REPAIRED, TRAINING_MODE, UNREPAIRED, alter, kinds_of

IMAGES = np.random.default_rng(0).uniform(-1, 1, (6, SIZE, SIZE, 3)).astype(np.float32)
BATCHES = tf.data.Dataset.from_tensor_slices(IMAGES).batch(4)


def untrained(**changes: Any) -> ArtifactSpotter:
    config = CONFIG.replace(**{f"game.{name}": value for name, value in changes.items()})
    return build_spotter(config, build_autoencoder(config))


@pytest.fixture(scope="module")
def spotter() -> ArtifactSpotter:
    return untrained()


def test_images_are_those_of_the_game_at_the_same_steps(spotter: ArtifactSpotter) -> None:
    found = alter(spotter, BATCHES, (UNREPAIRED, REPAIRED), first_step=7)
    corrupted = [spotter.corrupt(tf.constant(images), step) for images, step in ((IMAGES[:4], 7), (IMAGES[4:], 8))]
    np.testing.assert_array_equal(found.decoded, np.concatenate([c.decoded for c in corrupted]))
    np.testing.assert_array_equal(found.altered[REPAIRED], np.concatenate([c.repaired for c in corrupted]))
    damage = np.concatenate([spotter.autoencoder.decoder(c.damaged) for c in corrupted])
    np.testing.assert_array_equal(found.altered[UNREPAIRED], damage)
    cells = np.concatenate([c.keep_mask for c in corrupted])[..., 0]  # (photos, h, w)
    size = SIZE // cells.shape[1]
    np.testing.assert_array_equal(found.dropped[:, ::size, ::size], cells == 0)
    assert list(found.altered) == [UNREPAIRED, REPAIRED]
    expected = np.mean([psnr(np.asarray(c.decoded), images) for c, images in zip(corrupted, (IMAGES[:4], IMAGES[4:]),
                                                                                   strict=True)])  # fmt: skip
    assert found.copies.psnr == pytest.approx(expected)


def test_training_mode_normalises_with_the_batch_and_leaves_the_run_as_it_is() -> None:
    spotter = untrained(zero_residual=False)  # one that is zero has nothing to normalise
    before = spotter.get_weights()
    found = alter(spotter, BATCHES, (REPAIRED, TRAINING_MODE)).altered
    assert np.abs(found[REPAIRED] - found[TRAINING_MODE]).max() > 0.01
    for one, other in zip(before, spotter.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_kinds_are_those_that_there_are(spotter: ArtifactSpotter) -> None:
    assert kinds_of(spotter) == (UNREPAIRED, REPAIRED, TRAINING_MODE)
    assert kinds_of(untrained(repair="none")) == (UNREPAIRED,)
    assert kinds_of(untrained(repair="gan", predict_mask=False)) == ()
    assert kinds_of(untrained(drop_rate=0.0)) == ()
