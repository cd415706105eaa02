"""Backbones that see a photo's gradients in place of its colours."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Self, Unpack

import keras
import tensorflow as tf

from tf_spot.config import IMAGE_MEAN
from tf_spot.models.backbones import Backbone
from tf_spot.ops.registry import ModelOptions, register

LUMA = (0.299, 0.587, 0.114)  # of RGB
GAIN = 4.0  # on differences between neighbouring pixels, so that they vary about as much as the pixels of a photo


@register
class GradientBackbone(Backbone):
    """A backbone whose inputs are photos as for any other, and whose first convolution sees their gradients.

    Args:
        inner: the backbone that sees the gradients.

    Call arguments, Returns:
        see `Backbone`.
    """

    def __init__(self, inner: Backbone, name: str = "backbone", **kwargs: Unpack[ModelOptions]) -> None:
        super().__init__({}, name, **kwargs)
        self.inner = inner
        self.built = True  # as `inner` is

    def of_pixels(
        self, pixels: tf.Tensor, training: bool = False, update_statistics: bool = True
    ) -> dict[str, tf.Tensor]:
        return self.inner.of_pixels(gradients(pixels), training, update_statistics)

    def of_parts(
        self, parts: list[tf.Tensor], training: bool = False, update_statistics: bool = True
    ) -> dict[str, tf.Tensor]:
        return self.inner.of_parts([gradients(part) for part in parts], training, update_statistics)

    def cut(self, num_maps: int) -> Self:
        return type(self)(self.inner.cut(num_maps))

    @property
    def response_norm(self) -> Any:
        return self.inner.response_norm

    @property
    def stages(self) -> list[list[Any]]:
        return self.inner.stages

    @property
    def norms(self) -> list[Any]:
        """Every batch norm; None where a layer of AlexNet has none."""
        return self.inner.norms

    @property
    def inside(self) -> list[tuple[Backbone, Callable[[tf.Tensor], tf.Tensor]]]:
        return [(self.inner, gradients)]

    @property
    def first_conv(self) -> Any:
        return self.inner.first_conv

    def first_inputs(self, pixels: tf.Tensor) -> tf.Tensor:
        return self.inner.first_inputs(gradients(pixels))

    @property
    def channels(self) -> int:
        return self.inner.channels

    def grid_size(self, pixels: int) -> int:
        return self.inner.grid_size(pixels)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"inner": keras.saving.serialize_keras_object(self.inner)}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Mapping[str, object] | None = None) -> Self:
        inner = keras.saving.deserialize_keras_object(config["inner"])
        return super().from_config(config | {"inner": inner}, custom_objects)


def gradients(pixels: tf.Tensor) -> tf.Tensor:
    """Return the gradients of the luma of photos, in the units of a photo's pixels.

    Args:
        pixels: float32 (batch, height, width, 3) in [0, 255].

    Returns:
        float32, like `pixels`: the change from row to row, that from column to column, and 0; each plus the mean that
        a backbone subtracts from its inputs, so that no change is 0 to its first convolution.
    """
    luma = tf.reduce_sum(tf.cast(pixels, tf.float32) * tf.constant(LUMA), axis=-1, keepdims=True)
    # Sobel filters sum eight differences of two neighbours, two pixels apart.
    changes = tf.image.sobel_edges(luma)[..., 0, :] * (GAIN / 8)  # (batch, height, width, 2)
    return tf.concat([changes, tf.zeros_like(luma)], axis=-1) + tf.constant(IMAGE_MEAN)
