"""A probe for choosing settings: the test split stays unread, and every fifth training photo is tested on."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from tests.support.evaluation_data import dataset
from tf_spot.evaluation import held_out_probe, linear_probe


class Training:
    """100 images with their classes; another split is an error."""

    images = np.random.default_rng(0).normal(size=(100, 4, 4, 3)).astype(np.float32)
    labels = np.arange(100) % 3

    def labelled(self, split: str, batch_size: int) -> tf.data.Dataset:
        assert split == "train"
        return dataset(self.images, self.labels, batch_size)


def test_is_the_linear_probe_of_four_fifths_on_the_others() -> None:
    source, tested = Training(), np.arange(100) % 5 == 0
    source.images[np.arange(100), :, :, source.labels] += 1

    def maps(images: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"pixels": images}

    result = held_out_probe(maps, source, num_values=48, batch_size=16)
    train, test = (dataset(source.images[which], source.labels[which], 16) for which in (~tested, tested))
    assert result == linear_probe(maps, train, test, num_values=48)
    assert (result["train_images"], result["test_images"]) == (80, 20) and result["value"] > 50
