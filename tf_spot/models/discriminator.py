"""The discriminator: a backbone with two heads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack

import keras
import tensorflow as tf

from tf_spot.config import BACKBONES, PAPER, TRUNK_BIAS, check_field
from tf_spot.errors import UserError
from tf_spot.models.backbones import Backbone, KerasBackbone, build_backbone
from tf_spot.models.backbones.base import Configured
from tf_spot.models.layers import BatchNorm, ExampleDropout, glorot_uniform
from tf_spot.ops.registry import InputShape, ModelOptions, register


@register
class Discriminator(Configured):
    """The backbone with two heads: is the image repaired, and which cells were dropped.

    Args:
        image_size: pixels; fixes fc_1.
        width: factor on the channel counts of the backbone.
        stem_kernel, stem_stride: of AlexNet's conv1, pixels; its conv5 has image_size / (4 * stem_stride) cells per
            side, those of the other backbones image_size / 16.
        trunk_norm: of AlexNet: `response` after conv1 and conv2 (paper), or `batch` after every convolution.
        norm_momentum, norm_epsilon: of batch norm.
        predict_mask: False leaves out the mask head (ablation (g)).
        fc_units: of fc_1.
        dropout_rate: after fc_1.
        backbone: the name of one, see `backbones.build_backbone`; or one's own, a Keras model or a `KerasBackbone`,
            which is used, not copied.
        layers: names of the five layers of a Keras model, or of a model of `keras.applications` by name, whose outputs
            are conv1 to conv5; None: chosen by stride.
        preprocess: what a Keras model takes, see `KerasBackbone`.

    Call arguments:
        images: (batch, image_size, image_size, 3) in [-1, 1], or parts, see `Backbone`.
        training, update_statistics: see `Backbone`.
        step: scalar integer; the dropout of that step. None: no dropout.
        halves: parts concatenated into the batch, each with a dropout of its own.

    Returns:
        conv1 ... conv5 as from `Backbone`, "realness_logits" (batch, 2) with class 1 = real and, with `predict_mask`,
        "mask_logits" (batch, h, w, 1), whose sigmoid is the probability that a cell was kept.

    Source: authors' code.
    """

    def __init__(
        self,
        image_size: int = PAPER.data.image_size,
        width: float = PAPER.network.width,
        stem_kernel: int = PAPER.network.stem_kernel,
        stem_stride: int = PAPER.network.stem_stride,
        trunk_norm: str = PAPER.network.trunk_norm,
        norm_momentum: float = PAPER.network.norm_momentum,
        norm_epsilon: float = PAPER.network.norm_epsilon,
        fc_units: int = PAPER.network.fc_units,
        dropout_rate: float = PAPER.network.dropout_rate,
        predict_mask: bool = True,
        seed: int = 0,
        backbone: str | keras.Model | dict[str, Any] = PAPER.network.backbone,
        layers: Sequence[str] | None = None,
        preprocess: str | None = None,
        name: str = "discriminator",
        **kwargs: Unpack[ModelOptions],
    ) -> None:
        check_field("data.image_size", image_size)
        checked = {"width": width, "stem_kernel": stem_kernel, "stem_stride": stem_stride, "trunk_norm": trunk_norm}
        checked |= {"fc_units": fc_units, "dropout_rate": dropout_rate}
        for field, value in checked.items():
            check_field(f"network.{field}", value)
        trunk: dict[str, Any] = {
            "width": width,
            "stem_kernel": stem_kernel,
            "stem_stride": stem_stride,
            "trunk_norm": trunk_norm,
        }
        norm: dict[str, Any] = {"norm_momentum": norm_momentum, "norm_epsilon": norm_epsilon}
        heads = {"fc_units": fc_units, "dropout_rate": dropout_rate, "predict_mask": predict_mask, "seed": seed}
        settings: dict[str, Any] = {"image_size": image_size}
        super().__init__(settings | trunk | norm | heads, name, **kwargs)
        bias = keras.initializers.Constant(TRUNK_BIAS)
        self.image_size, self.fc_units = image_size, fc_units
        if isinstance(backbone, str):
            self._settings |= {"backbone": backbone} | ({"layers": list(layers)} if layers else {})
            common: dict[str, Any] = {"layers": layers, "dtype": self.dtype_policy}
            self.backbone = build_backbone(backbone, **trunk, **norm, **common)
        else:
            self.backbone = _given_backbone(backbone, layers, preprocess, self.dtype_policy)
        self.grid_size = self.backbone.grid_size(image_size)
        head: dict[str, Any] = {"bias_initializer": bias, "dtype": "float32"}
        self.mask_head = keras.layers.Conv2D(1, 3, padding="same", name="mask_head", **head) if predict_mask else None
        cells = self.grid_size**2
        self.fc1 = keras.layers.Dense(
            fc_units,
            use_bias=False,
            # To the authors fc_1 is a convolution over the whole grid, whose fan out counts its cells.
            kernel_initializer=glorot_uniform(cells * self.backbone.channels, cells * fc_units),
            dtype=self.dtype_policy,
            name="fc1",
        )
        self.fc1_norm = BatchNorm(
            momentum=norm_momentum, epsilon=norm_epsilon, scale=False, dtype="float32", name="fc1_norm"
        )
        self.dropout = ExampleDropout(dropout_rate, seed=seed, dtype="float32", name="dropout")
        self.fc2 = keras.layers.Dense(2, name="fc2", **head)
        self.build((None, image_size, image_size, 3))

    def build(self, input_shape: InputShape) -> None:
        channels = self.backbone.channels
        shapes = {
            self.mask_head: (None, self.grid_size, self.grid_size, channels),
            self.fc1: (None, self.grid_size**2 * channels),
            self.fc1_norm: (None, self.fc_units),
            self.fc2: (None, self.fc_units),
        }
        for layer, shape in shapes.items():
            if layer is not None and not layer.built:
                layer.build(shape)

    def call(
        self,
        images: tf.Tensor,
        training: bool = False,
        update_statistics: bool = True,
        step: tf.Tensor | int | None = None,
        halves: int = 1,
    ) -> dict[str, tf.Tensor]:
        maps = self.backbone(images, training=training, update_statistics=update_statistics)
        return self.answers(maps, training, update_statistics, step, halves)

    def answers(
        self,
        maps: dict[str, tf.Tensor],
        training: bool = False,
        update_statistics: bool = True,
        step: tf.Tensor | int | None = None,
        halves: int = 1,
    ) -> dict[str, tf.Tensor]:
        """Return what a call returns, from the backbone's maps (batch, h, w, channels); arguments as for a call."""
        mode = {"training": training, "update_statistics": update_statistics}
        conv5, answers = maps["conv5"], dict(maps)
        x = self.fc1(tf.reshape(conv5, (-1, self.fc1.kernel.shape[0])))  # (batch, h * w * channels) to (batch, units)
        x = self.dropout(tf.nn.relu(self.fc1_norm(x, **mode)), step=step, halves=halves)
        answers["realness_logits"] = self.fc2(x)  # (batch, 2)
        if self.mask_head is not None:
            answers["mask_logits"] = self.mask_head(conv5)  # (batch, h, w, 1)
        return answers

    def get_config(self) -> dict[str, Any]:
        own = {} if "backbone" in self._settings else {"backbone": keras.saving.serialize_keras_object(self.backbone)}
        return super().get_config() | own


def _given_backbone(
    backbone: object, layers: Sequence[str] | None, preprocess: str | None, policy: keras.DTypePolicy
) -> Backbone:
    """Return a backbone that was given as it is, as a Keras model, or as its saved configuration."""
    if isinstance(backbone, dict):
        backbone = keras.saving.deserialize_keras_object(backbone)
    if not isinstance(backbone, Backbone):
        if not isinstance(backbone, keras.Model):
            near = "a name such as resnet18, a Keras model or a KerasBackbone"
            raise UserError(
                f"a backbone must be one of {len(BACKBONES)} names or a model: {near}; received: {backbone}"
            )
        return KerasBackbone(backbone, layers, preprocess, dtype=policy)
    if layers is not None or preprocess is not None:
        raise UserError("layers and preprocess belong to a Keras model; received: both a backbone, which has its own")
    if backbone.dtype_policy.name != policy.name:
        raise UserError(
            f"a backbone must compute in the precision of the discriminator, {policy.name}; received: "
            f"{backbone.dtype_policy.name}; give both the same dtype"
        )
    return backbone


def paper_discriminator(
    image_size: int, width: float, levels: int, seed: int = 0, dtype: keras.DTypePolicy | str | None = None
) -> Discriminator:
    """Make the paper's discriminator for an autoencoder's size, width and levels."""
    network = PAPER.network
    return Discriminator(
        image_size=image_size,
        width=width,
        stem_kernel=network.stem_kernel,
        stem_stride=2 ** (levels - 2),
        trunk_norm=network.trunk_norm,
        norm_momentum=network.norm_momentum,
        norm_epsilon=network.norm_epsilon,
        fc_units=network.fc_units,
        dropout_rate=network.dropout_rate,
        seed=seed,
        dtype=dtype,
    )
