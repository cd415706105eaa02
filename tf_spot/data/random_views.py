"""Random views of the photos of a split: the training stream, from files or from photos kept in memory."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import tensorflow as tf

from tf_spot.config import DataConfig
from tf_spot.data.augmentation import Crop, crop, draw_crop, recolour, resize_crop
from tf_spot.data.batch_crop import crop_batch
from tf_spot.data.photo_cache import PhotoCache, filled_up
from tf_spot.data.split import Share, Split, whole_share

PREFETCH = 2  # batches ready ahead of training


class Recipe(NamedTuple):
    """What a batch of views is made of on the device that keeps the photos."""

    index: tf.Tensor  # int64 (batch,), of each photo in its split
    crop: Crop  # of the batch


class RandomViews:
    """Batches of images that are functions of (seed, step).

    Args:
        split: whose photos.
        image_size: pixels, both sides of every image.
        config: how photos become images.

    Attributes:
        split: as given.
        cache: all photos of the split, decoded; None: each is read when it is needed. The images are the same.
    """

    def __init__(self, split: Split, image_size: int, config: DataConfig) -> None:
        self.split, self.image_size, self.config = split, image_size, config
        self.cache: PhotoCache | None = None

    def images(self, seed: int, first_step: int, share: Share) -> tf.data.Dataset:
        """Return images for ever: float32 (share.size, image_size, image_size, 3) in [-1, 1]."""

        if self.cache is None or self.cache.place == "device":
            views = self.split.shuffled(seed, first_step, share, partial(self._view, seed))
        else:
            views = self.split.shuffled_indices(seed, first_step, share, partial(self._cached_view, self.cache, seed))
        # The stream is endless: nothing is dropped, which only makes the batch's size known.
        batches = views.batch(share.size, drop_remainder=True)
        return batches.map(lambda images, draws: recolour(images, draws, self.config)).prefetch(PREFETCH)

    def _view(self, seed: int, photo: tf.Tensor, stream_index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return a crop, (image_size, image_size, 3), and the draws for `recolour`."""
        return crop(photo, _key(seed, stream_index), self.image_size, self.config)

    def _cached_view(
        self, cache: PhotoCache, seed: int, index: tf.Tensor, stream_index: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the same of a photo that is kept."""
        drawn = draw_crop(cache.shapes[index], _key(seed, stream_index), self.config)
        return resize_crop(cache.photo(index), drawn, self.image_size), drawn.draws


class DeviceViews:
    """The images of `RandomViews`, made in whole batches on the device that keeps the photos.

    Args:
        views: whose cache is on the device.
    """

    def __init__(self, views: RandomViews, cache: PhotoCache) -> None:
        self.views, self.cache = views, cache

    def recipes(self, batch_size: int, seed: int, first_step: int, images_before: int | None = None) -> tf.data.Dataset:
        """Return for ever what `images` makes the batches of the training stream of; see `Source.unlabelled`."""

        with tf.device("CPU:0"):
            shapes = tf.identity(self.cache.shapes)

        def recipe(index: tf.Tensor, stream_index: tf.Tensor) -> Recipe:
            return Recipe(index, draw_crop(shapes[index], _key(seed, stream_index), self.views.config))

        share = whole_share(batch_size, first_step, images_before)
        drawn = self.views.split.shuffled_indices(seed, first_step, share, recipe)
        return drawn.batch(batch_size, drop_remainder=True).prefetch(PREFETCH)

    def images(self, recipe: Recipe) -> tf.Tensor:
        """Return a batch of images, float32 (batch, image_size, image_size, 3) in [-1, 1]."""
        cache = self.cache
        offsets, shapes = tf.gather(cache.offsets, recipe.index), filled_up(tf.gather(cache.shapes, recipe.index))
        # (bytes,) to (pixels, 3), and where in them
        pixels, first = tf.reshape(cache.pixels, (-1, 3)), offsets // 3
        images = crop_batch(pixels, first, shapes[:, 1], recipe.crop, self.views.image_size)
        return recolour(images, recipe.crop.draws, self.views.config)


def _key(seed: int, stream_index: tf.Tensor) -> tf.Tensor:
    return tf.stack([tf.constant(seed, tf.int64), stream_index])
