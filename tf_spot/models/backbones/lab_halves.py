"""Two backbones side by side, of which one sees the lightness of an image and the other one its colours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self, Unpack

import keras
import tensorflow as tf

from tf_spot.config import LAYERS
from tf_spot.errors import UserError
from tf_spot.models.backbones.base import Backbone
from tf_spot.ops.colour import lab
from tf_spot.ops.registry import InputShape, ModelOptions, register

COLOUR_RANGE = 50.0  # of a and b, to each side; the colours of photos seldom pass it


@register
class LabHalves(Backbone):
    """Two backbones without a connection between them: what one makes depends on L alone, the other on a and b alone.

    Every map is the maps of both, joined along the channels, those of the lightness first. Batch norm mixes images but
    not halves.

    Args:
        half: a backbone as `keras.saving.serialize_keras_object` gives it; both halves are built from it.
        num_maps: conv1 alone to all five, see `Backbone.cut`.

    Call arguments, Returns:
        see `Backbone`.

    Source: Zhang, Isola and Efros, "Split-brain autoencoders", CVPR 2017.
    """

    def __init__(
        self,
        half: dict[str, Any],
        num_maps: int = len(LAYERS),
        name: str = "backbone",
        **kwargs: Unpack[ModelOptions],
    ) -> None:
        super().__init__({"half": half, "num_maps": num_maps}, name, **kwargs)
        self.lightness, self.colour = (
            keras.saving.deserialize_keras_object(half | {"config": half["config"] | {"num_maps": num_maps}})
            for _ in range(2)
        )
        self.built = True

    @classmethod
    def of(cls, backbone: Backbone) -> Self:
        """Return two untrained halves, each like `backbone` at half its width.

        Raises:
            UserError: it does not come in that width.
        """
        wanted = "split-brain wants a backbone that comes in half its width: alexnet, resnet18 or a MobileNet"
        half = keras.saving.serialize_keras_object(backbone)
        if "width" not in half["config"]:
            raise UserError(f"{wanted}; received: {getattr(backbone, 'label', type(backbone).__name__)}")
        half["config"] = half["config"] | {"width": half["config"]["width"] / 2}
        try:
            return cls(half, dtype=backbone.dtype_policy)
        except UserError as error:
            raise UserError(f"{wanted}; received: {error}") from error

    def build(self, input_shape: InputShape) -> None:
        pass

    def of_pixels(
        self, pixels: tf.Tensor, training: bool = False, update_statistics: bool = True
    ) -> dict[str, tf.Tensor]:
        """Return the maps of images (batch, height, width, 3) in [0, 255]; see `Backbone`."""
        lightness, colour = halves_of(tf.cast(pixels, tf.float32))
        mode = {"training": training, "update_statistics": update_statistics}
        ours, others = self.lightness.of_pixels(lightness, **mode), self.colour.of_pixels(colour, **mode)
        return {name: tf.concat([ours[name], others[name]], axis=-1) for name in ours}

    @property
    def stages(self) -> list[list[Any]]:
        return [[*ours, *others] for ours, others in zip(self.lightness.stages, self.colour.stages, strict=True)]

    @property
    def norms(self) -> list[Any]:
        """Every batch norm; None where a half has none."""
        return [*self.lightness.norms, *self.colour.norms]

    @property
    def inside(self) -> list[tuple[Backbone, Callable[[tf.Tensor], tf.Tensor]]]:
        return [
            (self.lightness, lambda pixels: halves_of(pixels)[0]),
            (self.colour, lambda pixels: halves_of(pixels)[1]),
        ]

    @property
    def first_conv(self) -> Any:
        return self.lightness.first_conv

    def first_inputs(self, pixels: tf.Tensor) -> tf.Tensor:
        return self.lightness.first_inputs(halves_of(tf.cast(pixels, tf.float32))[0])

    @property
    def channels(self) -> int:
        return int(self.lightness.channels + self.colour.channels)

    def grid_size(self, pixels: int) -> int:
        return int(self.lightness.grid_size(pixels))


def halves_of(pixels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return what each half sees.

    Args:
        pixels: float32 (batch, height, width, 3) in [0, 255].

    Returns:
        the lightness, equal in all channels, and the colours, a, b and a constant: float32 in about [0, 255], like
        `pixels`, which is what a backbone is made for.
    """
    values = lab(pixels / 127.5 - 1)  # (batch, height, width, 3)
    lightness = tf.repeat(values[..., :1] * 2.55, 3, axis=-1)
    colours = values[..., 1:] * (127.5 / COLOUR_RANGE) + 127.5  # (batch, height, width, 2)
    return lightness, tf.concat([colours, tf.fill(tf.shape(colours[..., :1]), 127.5)], axis=-1)
