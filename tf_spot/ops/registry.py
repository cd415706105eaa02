"""What every layer and model of this package shares with Keras: the name it is registered under, and its options."""

from __future__ import annotations

from typing import Any, TypeAlias, TypedDict

import keras
import tensorflow as tf

# Saved models find their classes by this package's name and the class's.
register = keras.saving.register_keras_serializable("tf_spot")


# What Keras hands a `train_step`: images (batch, height, width, 3), alone or with labels and weights.
TrainingData: TypeAlias = tf.Tensor | tuple[tf.Tensor, ...]


def training_images(data: TrainingData) -> tf.Tensor:
    """Return the images (batch, height, width, 3) of a training batch, without labels and weights."""
    images, _, _ = keras.utils.unpack_x_y_sample_weight(data)
    return images


InputShape = tuple[Any, ...]  # sizes, the batch's first; None where a size is open


class NormOptions(TypedDict):
    """Settings of batch norm, as our blocks of convolution and norm take them."""

    norm_momentum: float
    norm_epsilon: float


class ModelOptions(TypedDict, total=False):
    """Keyword arguments that every Keras layer and model takes, besides its name."""

    dtype: keras.DTypePolicy | str | None
    trainable: bool


class LayerOptions(ModelOptions, total=False):
    """Keyword arguments that every Keras layer and model takes."""

    name: str | None
