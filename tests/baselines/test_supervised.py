"""Training on labels: the head, the stream of labelled photos."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tests.support.pretext_task import CONFIG, SIZE, learn, make, pictures
from tf_spot.baselines.supervised import labelled_stream
from tf_spot.data import load


@pytest.mark.slow
def test_supervised_learns_labels() -> None:
    """Labels that say whether the picture's upper left corner is red rather than blue; chance: 0.5."""
    corner = pictures(16 * 8)[:, 0, 0]
    labels = tf.cast(corner[:, 0] > corner[:, 2], tf.int32)
    assert learn(make("supervised", classes=2), 80, labels)["pretext_accuracy"][1] > 0.75


def test_supervised_wants_classes() -> None:
    with pytest.raises(ValueError, match="classes"):
        make("supervised")


@pytest.mark.slow
def test_labelled_stream_pairs_photos_with_their_labels() -> None:
    """Without variation, each image must be the photo whose label it carries; and batch s depends on (seed, s) only."""
    config = CONFIG.replace(
        **{"data.crop_area_min": 1.0, "data.crop_aspect_min": 1.0, "data.flip": False, "data.brightness": 0.0,
           "data.saturation": 0.0, "data.center_crop": 1.0}
    )  # fmt: skip
    source = load("photos", image_size=SIZE, config=config.data)
    centred = {}
    for images, labels in source.labelled("train", 64):
        for image, label in zip(images.numpy(), labels.numpy(), strict=True):
            centred.setdefault(int(label), []).append(image)
    stream = labelled_stream(source, 8, seed=3)
    batches = list(stream.take(4))
    for image, label in zip(batches[0][0].numpy(), batches[0][1].numpy(), strict=True):
        distances = {other: min(np.abs(image - one).mean() for one in ones) for other, ones in centred.items()}
        assert min(distances, key=distances.get) == label and distances[label] < 0.05
    later = next(iter(labelled_stream(source, 8, seed=3, first_step=3)))
    np.testing.assert_array_equal(later[0], batches[3][0])
    np.testing.assert_array_equal(later[1], batches[3][1])
    other = next(iter(labelled_stream(source, 8, seed=4)))
    assert not np.array_equal(other[1], batches[0][1])
