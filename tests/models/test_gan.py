"""Row (l): a generator in place of damage and repair, and row (k), where nobody repairs."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_spot.models.autoencoder import Autoencoder
from tf_spot.models.discriminator import Discriminator
from tf_spot.models.gan import GAN
from tf_spot.models.spotter import ArtifactSpotter


def parts(predict_mask: bool = False) -> tuple[Autoencoder, Discriminator]:
    keras.utils.set_random_seed(1)
    network: dict[str, Any] = {"width": 0.1, "stem_kernel": 3, "stem_stride": 1, "trunk_norm": "batch", "fc_units": 16}
    network |= {"dropout_rate": 0.5, "norm_momentum": 0.9, "norm_epsilon": 1e-3, "predict_mask": predict_mask}
    return Autoencoder(image_size=16, width=0.25, levels=2, norm_momentum=0.9), Discriminator(image_size=16, **network)


def photos(count: int = 64) -> tf.data.Dataset:
    """Pictures of one colour each: a generator of nothing is easily told from them."""
    colours = np.random.default_rng(0).uniform(-1, 1, (count, 1, 1, 3)).astype("float32")
    images = np.broadcast_to(colours, (count, 16, 16, 3))
    return tf.data.Dataset.from_tensor_slices(images).batch(8, drop_remainder=True)


def test_generated_images_follow_noise_and_step_and_not_the_photos() -> None:
    gan = GAN(*parts(), history_batches=0)
    first, second = (batch for batch in photos().take(2))
    a, b = (gan.corrupt(images, 3).repaired for images in (first, second))
    np.testing.assert_array_equal(a, b)
    assert a.shape == (8, 16, 16, 3) and np.abs(a).max() <= 1
    assert np.abs(a - gan.corrupt(first, 4).repaired).max() > 1e-3 and np.abs(a[0] - a[1]).max() > 1e-3


def test_both_networks_learn_and_the_photos_autoencoder_does_not() -> None:
    gan = GAN(*parts(), history_batches=2)
    gan.compile(keras.optimizers.Adam(1e-3), keras.optimizers.Adam(1e-3))
    frozen, generator = ([v.numpy() for v in network.variables] for network in (gan.autoencoder, gan.repair))
    logs = gan.fit(photos(), epochs=6, verbose=0, shuffle=False).history
    assert "mask_loss" not in logs and logs["realness_loss"][-1] < logs["realness_loss"][0]
    assert all(np.array_equal(old, new) for old, new in zip(frozen, gan.autoencoder.variables, strict=True))
    assert all(np.any(old != new.numpy()) for old, new in zip(generator, gan.repair.variables, strict=True))


def test_it_comes_back_from_its_file(tmp_path: Any) -> None:
    gan = GAN(*parts(), history_batches=0)
    gan.compile()
    gan.save(tmp_path / "gan.keras")
    again = keras.saving.load_model(tmp_path / "gan.keras")
    images = next(iter(photos()))
    np.testing.assert_array_equal(again.corrupt(images, 1).repaired, gan.corrupt(images, 1).repaired)


def test_a_mask_head_is_refused() -> None:
    with pytest.raises(ValueError, match="Set predict_mask=False"):
        GAN(*parts(predict_mask=True))


def test_without_repair_only_the_discriminator_learns(tmp_path: Any) -> None:
    spotter = ArtifactSpotter(*parts(predict_mask=True), repair="none", history_batches=0)
    spotter.compile(keras.optimizers.Adam(1e-3))
    images = next(iter(photos()))
    corrupted = spotter.corrupt(images, 1)
    np.testing.assert_array_equal(corrupted.repaired, spotter.autoencoder.decoder(corrupted.damaged))
    logs = spotter.fit(photos(), epochs=2, verbose=0, shuffle=False).history
    assert "repair_loss" not in logs and logs["mask_loss"][-1] < logs["mask_loss"][0]
    spotter.save(tmp_path / "none.keras")
    again = keras.saving.load_model(tmp_path / "none.keras")
    assert again.optimizer_of_repair is None and int(again.step) == 16
