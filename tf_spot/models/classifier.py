"""A classifier on the backbone, trained with labels: its head alone, or with some or all of the convolutions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Unpack

import keras
import tensorflow as tf

from tf_spot.config import LAYERS, PAPER
from tf_spot.errors import UserError
from tf_spot.models.backbones import Backbone
from tf_spot.models.layers import BatchNorm
from tf_spot.ops.registry import ModelOptions, register

NORMS = ("adapt", "frozen")


@register
class Classifier(keras.Model):
    """The backbone and a linear layer on all values of conv5, or large layers between the two.

    The last layer starts near zero: truncated normal of deviation 0.005, no bias. Source: authors' code; the large
    layers (4096 units twice, batch norm without a scale, ReLU, dropout) are those of its first version.

    Args:
        backbone: gives {"conv5": (batch, h, w, channels)}; used, not copied.
        class_names: one name a class.
        image_size: pixels, both sides of an image; fixes the head's inputs.
        norms: how batch norm behaves while the classifier is trained. `adapt`: by the batch's moments, and its moving
            statistics follow, whether the layer is trained or not (authors' code). `frozen`: as at inference.
        hidden_units: of each large layer between conv5 and the last layer; none by default.
        dropout_rate: after each of them.

    Call arguments:
        images: (batch, image_size, image_size, 3) in [-1, 1].
        training: see `norms`.

    Returns:
        float32 logits (batch, classes).
    """

    def __init__(
        self,
        backbone: Backbone,
        class_names: Sequence[str],
        *,
        image_size: int,
        norms: str = "adapt",
        hidden_units: Sequence[int] = (),
        dropout_rate: float = PAPER.network.dropout_rate,
        name: str = "classifier",
        **kwargs: Unpack[ModelOptions],
    ) -> None:
        super().__init__(name=name, **kwargs)
        if norms not in NORMS:
            raise ValueError(f"norms must be adapt or frozen. Received: norms={norms!r}")
        self.backbone, self.image_size, self.norms = backbone, image_size, norms
        self.class_names = [str(class_name) for class_name in class_names]
        self.hidden_units, self.dropout_rate = tuple(hidden_units), dropout_rate
        self.head = keras.layers.Dense(
            len(self.class_names),
            kernel_initializer=keras.initializers.TruncatedNormal(stddev=0.005),
            dtype="float32",
            name="head",
        )
        maps = backbone.compute_output_spec(keras.KerasTensor((None, image_size, image_size, 3)))["conv5"]
        values = maps.shape[1] * maps.shape[2] * maps.shape[3]
        self.hidden = [self._hidden_layer(number) for number in range(1, len(self.hidden_units) + 1)]
        for layer, units in zip(self.hidden, self.hidden_units, strict=True):
            layer.build((None, values))
            values = units
        self.head.build((None, values))
        self.built = True

    def _hidden_layer(self, number: int) -> keras.Sequential:
        norm = {"momentum": PAPER.network.norm_momentum, "epsilon": PAPER.network.norm_epsilon, "scale": False}
        return keras.Sequential(
            [
                keras.layers.Dense(self.hidden_units[number - 1], use_bias=False),
                BatchNorm(**norm),
                keras.layers.ReLU(),
                keras.layers.Dropout(self.dropout_rate),
            ],
            name=f"hidden{number}",
        )

    def call(self, images: tf.Tensor, training: bool = False) -> tf.Tensor:
        # Batch norm follows the labelled photos even where the layers are frozen: in pre-training half of what it saw
        # were repaired images.
        maps = self.backbone(images, training=training and self.norms == "adapt")
        return self.logits(maps, training)

    def logits(self, maps: dict[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """Return the logits (batch, classes) of the backbone's maps (batch, h, w, channels)."""
        first = (self.hidden[0].layers[0] if self.hidden else self.head).kernel
        x = tf.reshape(maps["conv5"], (-1, first.shape[0]))  # (batch, h * w * channels)
        for layer in self.hidden:
            x = layer(x, training=training)  # (batch, units)
        return self.head(x)  # (batch, classes)

    def train_layers(self, count: int) -> None:
        """Train the top `count` convolutions besides the head, and freeze the others.

        With another backbone than AlexNet: the layers that make the top `count` of the five maps.

        Raises:
            UserError: there are not so many.
        """
        if not 0 <= count <= len(LAYERS):
            raise UserError(f"0 (the head alone) to {len(LAYERS)} convolutions can be trained; received: {count}")
        for number, layers in enumerate(self.backbone.stages, start=1):
            for layer in layers:
                layer.trainable = number > len(LAYERS) - count

    def get_config(self) -> dict[str, Any]:
        settings = {"class_names": list(self.class_names), "image_size": self.image_size, "norms": self.norms}
        if self.hidden_units:
            settings |= {"hidden_units": list(self.hidden_units), "dropout_rate": self.dropout_rate}
        return super().get_config() | settings | {"backbone": keras.saving.serialize_keras_object(self.backbone)}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Mapping[str, object] | None = None) -> Classifier:
        return cls(**config | {"backbone": keras.saving.deserialize_keras_object(config["backbone"])})
