"""Methods trained by plain `fit`: their initial weights, batches and features."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from tests.support.comparison_recipe import CONFIG
from tf_spot.data import Source
from tf_spot.experiments import plain_fit
from tf_spot.experiments.budget import Budget
from tf_spot.models.from_config import build_autoencoder
from tf_spot.runs.run import Run


def test_every_method_starts_from_the_same_weights(source: Source) -> None:
    kernels = [
        plain_fit.build_model("rotation", CONFIG, source, 10).backbone.convs[0].kernel.numpy(),
        plain_fit.build_model("supervised", CONFIG, source, 10).backbone.convs[0].kernel.numpy(),
        plain_fit.new_backbone(CONFIG).convs[0].kernel.numpy(),
    ]
    np.testing.assert_array_equal(kernels[0], kernels[1])
    np.testing.assert_array_equal(kernels[0], kernels[2])
    other = plain_fit.new_backbone(CONFIG.replace(**{"training.seed": 1})).convs[0].kernel.numpy()
    assert np.abs(other - kernels[0]).max() > 0.01


def test_the_labels_are_for_supervised_alone(source: Source) -> None:
    images = next(iter(plain_fit.stream("rotation", CONFIG, source, 3)))
    again, labels = next(iter(plain_fit.stream("supervised", CONFIG, source, 3)))
    assert images.shape == again.shape == (4, 16, 16, 3) and labels.shape == (4,)
    later = list(plain_fit.stream("rotation", CONFIG, source, 0).take(4))[3]
    np.testing.assert_array_equal(images, later)


def test_some_methods_are_told_which_photo_an_image_is_made_of(source: Source) -> None:
    """The images are those of the other methods; the indices are those of the photos that are trained on."""
    images, photos = next(iter(plain_fit.stream("noise-as-targets", CONFIG, source, 3)))
    np.testing.assert_array_equal(images, next(iter(plain_fit.stream("rotation", CONFIG, source, 3))))
    np.testing.assert_array_equal(photos, next(iter(source.unlabelled_indices(4, seed=0, first_step=3))))
    model = plain_fit.build_model("noise-as-targets", CONFIG, source, 10)
    assert model.classes == source.count("unlabelled") and model.points.shape[0] == model.classes
    assert plain_fit.build_model("supervised", CONFIG, source, 10).classes == 2
    assert plain_fit.build_model("byol", CONFIG, source, 10).classes is None


def test_an_autoencoder_transfers_the_levels_of_its_encoder() -> None:
    autoencoder = build_autoencoder(CONFIG)
    images = np.random.default_rng(0).uniform(-1, 1, (2, 16, 16, 3)).astype(np.float32)
    maps = plain_fit.extractor(autoencoder)(images)
    assert list(maps) == ["e0", "e1", "e2"] and [values.shape[1] for values in maps.values()] == [16, 8, 4]
    np.testing.assert_allclose(maps["e2"], autoencoder.encoder(images), atol=1e-6)


@pytest.mark.slow
def test_a_fit_spends_its_images(source: Source, tmp_path) -> None:
    run = Run.create(tmp_path, CONFIG, {})
    fitted = plain_fit.fit("rotation", run, source, Budget(images=17), None)
    assert isinstance(fitted.model, keras.Model) and fitted.images_seen == 16 and fitted.seconds > 0
