"""The training stream from files, from the host's memory and from the device: the same images, bit for bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tf_spot.config import PAPER
from tf_spot.data import Source, load
from tf_spot.data.photo_cache import PhotoCache, decode_all
from tf_spot.data.random_views import DeviceViews
from tf_spot.distributed.strategies import make_strategy, training_stream

BATCH, STEPS, SEED = 6, 5, 5
ROOM = 1 << 22


@pytest.fixture
def source(tmp_path: Path) -> Source:
    """Photos of all sizes, JPEG and PNG, one of them damaged: fewer than `STEPS` batches, so that epochs end within."""
    numbers = np.random.default_rng(0)
    for number in range(16):
        shape = (int(numbers.integers(9, 90)), int(numbers.integers(9, 90)), 3)
        Image.fromarray(numbers.integers(0, 256, shape, np.uint8)).save(
            tmp_path / f"{number:02}.{'jpg' if number % 2 else 'png'}"
        )
    (tmp_path / "04.png").write_bytes(b"damaged")
    return load(f"folder:{tmp_path}", image_size=32, config=PAPER.data, seed=SEED)


def kept(source: Source, place: str) -> PhotoCache:
    return decode_all(source.views.split, place, ROOM)


def images(source: Source, first_step: int = 0, share: tuple[int, int] = (0, 1)) -> list[np.ndarray]:
    return list(source.unlabelled(BATCH, first_step=first_step, num_steps=STEPS, share=share).as_numpy_iterator())


@pytest.mark.parametrize("first_step", [0, 3])
def test_the_hosts_memory_gives_the_images_of_the_files(source: Source, first_step: int) -> None:
    from_files = images(source, first_step)
    source.views.cache = kept(source, "host")
    np.testing.assert_array_equal(images(source, first_step), from_files)


@pytest.mark.parametrize("first_step", [0, 3])
def test_the_device_gives_the_images_of_the_files(source: Source, first_step: int) -> None:
    on_device = DeviceViews(source.views, kept(source, "device"))
    recipes = on_device.recipes(BATCH, SEED, first_step)
    assert recipes.cardinality() == tf.data.INFINITE_CARDINALITY and recipes.element_spec.index.shape == (BATCH,)
    make = tf.function(on_device.images)
    np.testing.assert_array_equal([make(recipe) for recipe in recipes.take(STEPS)], images(source, first_step))


def test_workers_share_the_batches_of_a_cache(source: Source) -> None:
    whole = images(source)
    source.views.cache = kept(source, "host")
    shares = [images(source, share=(i, 3)) for i in range(3)]
    np.testing.assert_array_equal(np.concatenate(shares, axis=1), whole)


def test_two_replicas_share_the_batches_of_a_cache(source: Source) -> None:
    whole, strategy = images(source), make_strategy("mirrored")
    assert strategy.num_replicas_in_sync == 2
    source.views.cache = kept(source, "host")
    with strategy.scope():
        stream = iter(training_stream(strategy, source, BATCH, SEED, 0))
    for batch in whole:
        of_replicas = [part.numpy() for part in strategy.experimental_local_results(next(stream))]
        np.testing.assert_array_equal(np.concatenate(of_replicas), batch)


def test_a_source_with_photos_on_the_device_still_gives_images(source: Source) -> None:
    from_files = images(source)
    source.views.cache = kept(source, "device")
    np.testing.assert_array_equal(images(source), from_files)


def test_nothing_is_read_any_more_once_photos_are_kept(source: Source, tmp_path: Path) -> None:
    source.views.cache = kept(source, "host")
    before = images(source)
    for file in tmp_path.iterdir():
        file.unlink()
    np.testing.assert_array_equal(images(source), before)


@pytest.mark.parametrize("place", [None, "host", "device"])
def test_batches_of_another_size_go_on_with_the_image_that_comes_next(source: Source, place: str | None) -> None:
    """Two batches of six, then of four: the images that batches of six would have brought, in their order."""
    whole = np.concatenate(images(source))
    if place is not None:
        source.views.cache = kept(source, place)
    if place == "device":
        on_device = DeviceViews(source.views, kept(source, "device"))
        later = [on_device.images(recipe) for recipe in on_device.recipes(4, SEED, 2, images_before=12).take(4)]
    else:
        later = list(source.unlabelled(4, first_step=2, images_before=12, num_steps=4))
    np.testing.assert_allclose(np.concatenate(later), whole[12:28], atol=1e-6)


def test_workers_share_batches_of_another_size(source: Source) -> None:
    def read(share: tuple[int, int]) -> np.ndarray:
        stream = source.unlabelled(4, first_step=2, images_before=12, num_steps=2, share=share)
        return np.stack(list(stream.as_numpy_iterator()))

    np.testing.assert_array_equal(np.concatenate([read((0, 2)), read((1, 2))], axis=1), read((0, 1)))
