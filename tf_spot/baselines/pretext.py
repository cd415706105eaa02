"""What the rivals share: a backbone, heads on its conv5, and a training step on figures that each rival defines."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from tf_spot.models.backbones import Backbone
from tf_spot.models.layers import BatchNorm
from tf_spot.models.losses import weight_penalty
from tf_spot.ops.registry import register


class Pretext(keras.Model):
    """A task for the backbone. Subclasses make their heads in `build_heads` and say in `figures` what to minimise.

    Args:
        backbone: the network that transfers.
        image_size: pixels, both sides of the training images.
        units: of the hidden layer of the heads.
        classes: of the labels, for the one task that uses any.
        weight_decay: factor on half the squared norm of the kernels.
        seed: of every random draw. Draws depend on (seed, step, place in the batch) alone.

    Call arguments:
        images: float32 (batch, height, width, 3) in [-1, 1].

    Returns:
        the backbone's maps, see `Backbone`.
    """

    figure_names: tuple[str, ...] = ("pretext_loss", "pretext_accuracy")

    def __init__(
        self,
        backbone: Backbone,
        image_size: int,
        units: int,
        classes: int | None = None,
        weight_decay: float = 0.0,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.backbone, self.image_size, self.units, self.classes = backbone, image_size, units, classes
        self.weight_decay, self.seed = weight_decay, seed
        self.build_heads()
        self.trackers: dict[str, Any] = {}
        for name in self.figure_names:
            self.trackers[name] = keras.metrics.Mean(name=name)
        self.built = True

    def build_heads(self) -> None:
        """Makes and builds what comes after the backbone."""
        raise NotImplementedError

    def figures(self, images: Any, labels: Any, step: Any, training: bool) -> dict[str, tf.Tensor]:
        """Scalars: "pretext_loss", which is minimised, and what else `figure_names` holds.

        Args:
            images: float32 (batch, image_size, image_size, 3) in [-1, 1].
            labels: int32 (batch,), or None.
            step: scalar integer, for the draws.
            training: batch norm uses the batch's moments.
        """
        raise NotImplementedError

    @property
    def channels(self) -> int:
        """Of conv5."""
        return self.backbone.channels

    def grid_size(self, pixels: int) -> int:
        """Cells a side of conv5 for an image of that many pixels a side."""
        return self.backbone.grid_size(pixels)

    def call(self, images: Any, training: bool = False) -> dict[str, tf.Tensor]:
        return self.backbone(images, training=training)

    @property
    def metrics(self) -> list[keras.Metric]:
        return list(self.trackers.values())

    def train_step(self, data: Any) -> dict[str, tf.Tensor]:
        images, labels, _ = keras.utils.unpack_x_y_sample_weight(data)
        variables = self.trainable_variables
        with tf.GradientTape() as tape:
            figures = self.figures(images, labels, tf.convert_to_tensor(self.optimizer.iterations), training=True)
            loss = figures["pretext_loss"] + self.weight_decay * weight_penalty(variables)
        self.optimizer.apply(tape.gradient(loss, variables), variables)
        return self._means(figures)

    def test_step(self, data: Any) -> dict[str, tf.Tensor]:
        images, labels, _ = keras.utils.unpack_x_y_sample_weight(data)
        return self._means(self.figures(images, labels, 0, training=False))

    def _means(self, figures: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        for name, tracker in self.trackers.items():
            tracker.update_state(figures[name])
        return {name: tracker.result() for name, tracker in self.trackers.items()}

    def get_config(self) -> dict[str, Any]:
        names = ("image_size", "units", "classes", "weight_decay", "seed")
        settings = {name: getattr(self, name) for name in names}
        return super().get_config() | settings | {"backbone": keras.saving.serialize_keras_object(self.backbone)}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Pretext:
        return cls(**config | {"backbone": keras.saving.deserialize_keras_object(config["backbone"])})


@register
class Head(keras.layers.Layer):
    """Two dense layers on flat features, batch norm and ReLU between: the form of the spotter's realness head.

    Args:
        units: hidden.
        outputs: logits.
        norm_momentum, norm_epsilon: of the batch norm.

    Call arguments:
        inputs: (batch, features); maps (batch, h, w, channels) are flattened.
        training: batch norm uses the batch's moments.

    Returns:
        (batch, outputs).
    """

    def __init__(self, units: int, outputs: int, norm_momentum: float, norm_epsilon: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units, self.outputs = units, outputs
        self.hidden = keras.layers.Dense(units, use_bias=False, name="hidden")
        self.norm = BatchNorm(momentum=norm_momentum, epsilon=norm_epsilon, scale=False, name="norm")
        self.logits = keras.layers.Dense(outputs, name="logits")

    def build(self, input_shape: Any) -> None:
        features = 1
        for size in input_shape[1:]:
            features *= size
        for layer, width in ((self.hidden, features), (self.norm, self.units), (self.logits, self.units)):
            layer.build((None, width))

    def call(self, inputs: Any, training: bool = False) -> tf.Tensor:
        flat = tf.reshape(inputs, (-1, self.hidden.kernel.shape[0]))
        return self.logits(tf.nn.relu(self.norm(self.hidden(flat), training=training)))


def head_on(model: Pretext, outputs: int, *shape: int) -> Any:
    """A built `Head` for features of that shape, with the backbone's batch norm settings."""
    settings = model.backbone.get_config()
    return built(Head(model.units, outputs, settings["norm_momentum"], settings["norm_epsilon"]), *shape)


def built(layer: Any, *shape: int | None) -> Any:
    """`layer`, its weights made for inputs (batch, *shape)."""
    layer.build((None, *shape))
    layer.built = True
    return layer


def classification(logits: Any, classes: Any) -> dict[str, tf.Tensor]:
    """Loss and accuracy of logits (batch, classes) against class numbers (batch,)."""
    loss = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=classes, logits=logits)
    right = tf.equal(tf.argmax(logits, axis=-1, output_type=tf.int32), tf.cast(classes, tf.int32))
    return {"pretext_loss": tf.reduce_mean(loss), "pretext_accuracy": tf.reduce_mean(tf.cast(right, tf.float32))}
