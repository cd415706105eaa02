"""The interface of a backbone: five maps, by the names conv1 ... conv5."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Self, Unpack

import keras
import tensorflow as tf

from tf_spot.config import IMAGE_MEAN
from tf_spot.ops.registry import ModelOptions


def scaled(channels: int, width: float) -> int:
    """Return `channels` times `width`, to the nearest multiple of 8, at least 8: what vector units compute in."""
    return max(8, 8 * round(channels * width / 8))


class Configured(keras.Model):
    """A model that keeps its constructor's keyword arguments for `get_config`."""

    def __init__(self, settings: dict[str, Any], name: str | None, **kwargs: Unpack[ModelOptions]) -> None:
        super().__init__(name=name, autocast=False, **kwargs)  # the layers inside cast what they are given
        self._settings = settings

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | self._settings


class Backbone(Configured):
    """A backbone. Subclasses compute the maps in `of_pixels` and say which layers make which map in `stages`.

    Call arguments:
        images: (batch, height, width, 3) in [-1, 1], or a tuple of such parts of a batch. Layers that mix no images
            then compute the parts one by one, so that the gradient by one part does not pass through the others.
        training: batch norm uses the batch's moments; without effect on a frozen backbone (`trainable = False`).
        update_statistics: in training, batch norm's moving statistics follow.

    Returns:
        {"conv1": ..., "conv5": ...}: float32 maps (batch, h, w, channels), ever deeper; fewer of a backbone that was
        `cut`.

    Attributes:
        response_norm: the layer of local response norm, None without one.
    """

    response_norm: Any = None

    def call(self, images: tf.Tensor, training: bool = False, update_statistics: bool = True) -> dict[str, tf.Tensor]:
        parts = images if isinstance(images, tuple) else (images,)
        pixels = [tf.cast(part, tf.float32) * 127.5 + 127.5 for part in parts]
        return self.of_parts(pixels, training and self.trainable, update_statistics)

    def cut(self, num_maps: int) -> Self:
        """Return a copy of the layers that make the first `num_maps` maps, with their weights."""
        shallow = self.from_config(self.get_config() | {"num_maps": num_maps})
        for layers, copies in zip(self.stages, shallow.stages, strict=False):  # those of deeper maps are left
            for layer, copy in zip(layers, copies, strict=True):
                copy.set_weights(layer.get_weights())
        return shallow

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Mapping[str, object] | None = None) -> Self:
        backbone: Self = super().from_config(config | {"trainable": True}, custom_objects)
        # Not by the constructor, which makes its layers after it was given: they would be left trainable.
        backbone.trainable = config.get("trainable", True)
        return backbone

    def of_parts(
        self, parts: list[tf.Tensor], training: bool = False, update_statistics: bool = True
    ) -> dict[str, tf.Tensor]:
        """Return the maps of parts of a batch, like a call; images (part, height, width, 3) in [0, 255].

        By default every layer is taken to mix images.
        """
        return self.of_pixels(tf.concat(parts, axis=0), training, update_statistics)

    def of_pixels(
        self, pixels: tf.Tensor, training: bool = False, update_statistics: bool = True
    ) -> dict[str, tf.Tensor]:
        """Return the maps of images (batch, height, width, 3) in [0, 255], like a call.

        Exported models begin here: int8 does not survive a scaling to [-1, 1] and back.
        """
        raise NotImplementedError

    @property
    def stages(self) -> list[list[Any]]:
        """The layers with weights that make conv1 of the pixels, conv2 of conv1, and so on."""
        raise NotImplementedError

    @property
    def inside(self) -> list[tuple[Backbone, Callable[[tf.Tensor], tf.Tensor]]]:
        """The backbones that this one is made of, each with the function of pixels that gives what it sees; or none."""
        return []

    @property
    def first_conv(self) -> Any:
        """The convolution that sees the pixels."""
        raise NotImplementedError

    def first_inputs(self, pixels: tf.Tensor) -> tf.Tensor:
        """Return what `first_conv` sees of images (batch, height, width, 3) in [0, 255]; by default less their mean."""
        return tf.cast(pixels, tf.float32) - tf.constant(IMAGE_MEAN)

    @property
    def channels(self) -> int:
        """Of conv5."""
        raise NotImplementedError

    @property
    def input_size(self) -> int | None:
        """Pixels per side of the only images that it takes; None: of any."""
        return None

    def grid_size(self, pixels: int) -> int:
        """Cells per side of conv5, for images of that many pixels per side.

        Raises:
            UserError: they are too small.
        """
        raise NotImplementedError
