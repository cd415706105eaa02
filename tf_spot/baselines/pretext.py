"""What all pretext tasks share: a backbone, heads on its conv5, and a training step on a loss that each one defines."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias, TypeVar

import keras
import tensorflow as tf

from tf_spot.config import PAPER
from tf_spot.models.backbones import Backbone
from tf_spot.models.layers import BatchNorm
from tf_spot.models.losses import weight_penalty
from tf_spot.ops.registry import NormOptions, register

LayerT = TypeVar("LayerT", bound=keras.layers.Layer)
Examples: TypeAlias = tf.Tensor | tuple[tf.Tensor, tf.Tensor]  # images, or images and labels


class Pretext(keras.Model):
    """A task that trains the backbone. Subclasses build heads in `build_heads` and a loss in `task_metrics`.

    Args:
        backbone: the network that transfers.
        image_size: pixels, both sides of the training images.
        units: of the hidden layer of the heads.
        classes: number of label classes or of photos, for tasks whose batches have `labels` of that kind.
        weight_decay: factor on half the squared norm of the kernels.
        seed: of every random draw. Draws depend on (seed, step, index in the batch) alone.

    Call arguments:
        images: float32 (batch, height, width, 3) in [-1, 1].

    Returns:
        the backbone's maps, see `Backbone`.
    """

    task_metric_names: tuple[str, ...] = ("pretext_loss", "pretext_accuracy")
    # What a batch has beside its images: nothing; "classes": the label of each photo; "photos": which photo each image
    # is made of, an index, so that every photo is a class of its own.
    label_kind: Literal["classes", "photos"] | None = None

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
        # Before any call: the weights must exist when a saved model is loaded.
        self.build_heads()
        self.trackers: dict[str, keras.metrics.Mean] = {}
        for name in self.task_metric_names:
            self.trackers[name] = keras.metrics.Mean(name=name)
        self.built = True  # all weights exist: Keras must not build the model again from its first batch

    def build_heads(self) -> None:
        """Create and build the layers on top of the backbone."""
        raise NotImplementedError

    def task_metrics(
        self, images: tf.Tensor, labels: tf.Tensor | None, step: tf.Tensor | int, training: bool
    ) -> dict[str, tf.Tensor]:
        """Return the task's loss and metrics on one batch.

        Args:
            images: float32 (batch, image_size, image_size, 3) in [-1, 1].
            labels: int32 (batch,), or None.
            step: scalar integer, the counter of the random draws.
            training: batch norm uses the batch's moments.

        Returns:
            float32 scalars by the names in `task_metric_names`; "pretext_loss" is minimised.
        """
        raise NotImplementedError

    @property
    def channels(self) -> int:
        """Channels of conv5."""
        return self.backbone.channels

    def grid_size(self, pixels: int) -> int:
        """Return the cells per side of conv5 for a square image of `pixels` per side."""
        return self.backbone.grid_size(pixels)

    def call(self, images: tf.Tensor, training: bool = False) -> dict[str, tf.Tensor]:
        return self.backbone(images, training=training)

    @property
    def metrics(self) -> list[keras.Metric]:
        return list(self.trackers.values())

    def train_step(self, data: Examples) -> dict[str, tf.Tensor]:
        """Apply one optimizer update.

        Args:
            data: images float32 (batch, image_size, image_size, 3) in [-1, 1], or (images, labels int32 (batch,)).

        Returns:
            float32 scalars, the means over the epoch so far.
        """
        images, labels, _ = keras.utils.unpack_x_y_sample_weight(data)
        variables = self.trainable_variables
        with tf.GradientTape() as tape:
            # The optimizer's own counter is saved with it, so the draws go on with the training.
            step = tf.convert_to_tensor(self.optimizer.iterations)
            metrics = self.task_metrics(images, labels, step, training=True)
            # Weight decay is part of the gradient but not of the reported loss.
            loss = metrics["pretext_loss"] + self.weight_decay * weight_penalty(variables)
        self.optimizer.apply(tape.gradient(loss, variables), variables)
        return self._means(metrics)

    def test_step(self, data: Examples) -> dict[str, tf.Tensor]:
        """Evaluate one batch at inference, with the draws of step 0.

        Args:
            data: see `train_step`.

        Returns:
            float32 scalars, the means over the batches so far.
        """
        images, labels, _ = keras.utils.unpack_x_y_sample_weight(data)
        return self._means(self.task_metrics(images, labels, 0, training=False))

    def _means(self, metrics: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        for name, tracker in self.trackers.items():
            tracker.update_state(metrics[name])
        return {name: tracker.result() for name, tracker in self.trackers.items()}

    def get_config(self) -> dict[str, Any]:
        names = ("image_size", "units", "classes", "weight_decay", "seed")
        settings = {name: getattr(self, name) for name in names}
        return super().get_config() | settings | {"backbone": keras.saving.serialize_keras_object(self.backbone)}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Mapping[str, object] | None = None) -> Pretext:
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
        update_statistics: in training, batch norm's moving statistics follow.

    Returns:
        (batch, outputs).
    """

    def __init__(self, units: int, outputs: int, norm_momentum: float, norm_epsilon: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units, self.outputs = units, outputs
        # No bias: the batch norm's shift takes its part.
        self.hidden = keras.layers.Dense(units, use_bias=False, name="hidden")
        self.norm = BatchNorm(momentum=norm_momentum, epsilon=norm_epsilon, scale=False, name="norm")
        self.logits = keras.layers.Dense(outputs, name="logits")

    def build(self, input_shape: tuple[int | None, *tuple[int, ...]]) -> None:
        features = math.prod(input_shape[1:])
        # (layer, width of its inputs)
        for layer, width in ((self.hidden, features), (self.norm, self.units), (self.logits, self.units)):
            layer.build((None, width))

    def call(self, inputs: tf.Tensor, training: bool = False, update_statistics: bool = True) -> tf.Tensor:
        flat = tf.reshape(inputs, (-1, self.hidden.kernel.shape[0]))  # (batch, features)
        hidden = self.norm(self.hidden(flat), training=training, update_statistics=update_statistics)
        return self.logits(tf.nn.relu(hidden))


def head_on(model: Pretext, outputs: int, *shape: int) -> Head:
    """Return a built `Head` for inputs (batch, *shape), with the batch norm settings of the model's backbone."""
    return built(Head(model.units, outputs, **norm_options(model.backbone)), *shape)


def norm_options(backbone: Backbone) -> NormOptions:
    """Return the batch norm settings for layers beside a backbone: its own ones, or the paper's where it has none."""
    own = backbone.get_config()
    momentum, epsilon = own.get("norm_momentum"), own.get("norm_epsilon")
    return {
        "norm_momentum": PAPER.network.norm_momentum if momentum is None else momentum,
        "norm_epsilon": PAPER.network.norm_epsilon if epsilon is None else epsilon,
    }


def built(layer: LayerT, *shape: int | None) -> LayerT:
    """Build the weights of `layer` for inputs (batch, *shape) and return it."""
    layer.build((None, *shape))
    layer.built = True
    return layer


def classification(logits: tf.Tensor, classes: tf.Tensor) -> dict[str, tf.Tensor]:
    """Return cross entropy and accuracy of a batch.

    Args:
        logits: float32 (batch, classes).
        classes: integers (batch,), the true class indices.

    Returns:
        float32 scalars "pretext_loss" and "pretext_accuracy".
    """
    loss = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=classes, logits=logits)
    right = tf.equal(tf.argmax(logits, axis=-1, output_type=tf.int32), tf.cast(classes, tf.int32))
    return {"pretext_loss": tf.reduce_mean(loss), "pretext_accuracy": tf.reduce_mean(tf.cast(right, tf.float32))}
