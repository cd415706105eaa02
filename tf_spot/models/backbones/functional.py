"""A functional Keras model as a backbone: five of its maps, in our batch norm and precision."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any, Self

import keras
import numpy as np
import tensorflow as tf

from tf_spot.errors import UserError
from tf_spot.models.backbones.base import Backbone
from tf_spot.models.backbones.choice_of_maps import with_weights
from tf_spot.models.layers import BatchNorm
from tf_spot.ops.convolutions import Conv2D
from tf_spot.ops.registry import InputShape, register

# Fields of a layer's configuration that make it drop something at random.
RANDOM_SHARES = ("dropout", "dropout_rate", "attention_dropout", "attention_dropout_rate", "drop_path_rate")
DROPS = (keras.layers.Dropout, keras.layers.GaussianDropout, keras.layers.AlphaDropout)

_update_statistics: ContextVar[bool] = ContextVar("update_statistics", default=True)


@register
class ApplicationNorm(BatchNorm):
    """A `BatchNorm` inside a functional model, which cannot hand on `update_statistics`: it is taken from around."""

    def call(
        self, inputs: tf.Tensor, training: bool = False, update_statistics: bool = True, mask: tf.Tensor = None
    ) -> tf.Tensor:  # `mask`: Keras' batch norm has one, never used here, and the copied graph hands it on
        update = update_statistics and _update_statistics.get()
        return super().call(inputs, training=training, update_statistics=update)


@contextlib.contextmanager
def _statistics(update: bool) -> Iterator[None]:
    token = _update_statistics.set(update)
    try:
        yield
    finally:
        _update_statistics.reset(token)


class FunctionalBackbone(Backbone):
    """A backbone that is a functional model `net` of photos to the maps. Subclasses make it.

    Attributes:
        net: photos as `preprocess` gives them to conv1, conv2, ...
        label: what messages call it.
    """

    net: keras.Model
    label: str

    def build(self, input_shape: InputShape) -> None:
        pass

    def preprocess(self, pixels: tf.Tensor) -> tf.Tensor:
        """Return photos in the range that the model takes, of photos in [0, 255]: float32, like `pixels`."""
        raise NotImplementedError

    def of_pixels(
        self, pixels: tf.Tensor, training: bool = False, update_statistics: bool = True
    ) -> dict[str, tf.Tensor]:
        """Return the maps of images (batch, height, width, 3) in [0, 255]; see `Backbone`."""
        with _statistics(update_statistics):
            maps = keras.tree.flatten(self.net(self.net_inputs(pixels), training=training))
        return {f"conv{i}": tf.cast(value, tf.float32) for i, value in enumerate(maps, start=1)}

    def net_inputs(self, pixels: tf.Tensor) -> tf.Tensor:
        """Return images (batch, height, width, 3) in [0, 255] as `preprocess` scales them."""
        return self.preprocess(tf.cast(pixels, tf.float32))

    def cut(self, num_maps: int) -> Self:
        shallow = self.from_config(self.get_config() | {"num_maps": num_maps})
        copy_weights(self.net, shallow.net)
        return shallow

    @property
    def stages(self) -> list[list[Any]]:
        groups: list[list[Any]] = []
        earlier: set[int] = set()
        for needed in with_weights(self.net):
            groups.append([operation for operation in self.net.operations if id(operation) in needed - earlier])
            earlier |= needed
        return groups

    @property
    def norms(self) -> list[Any]:
        """Every batch norm."""
        return [layer for layer in flat_layers(self.net) if isinstance(layer, BatchNorm)]

    @property
    def first_conv(self) -> Any:
        """The convolution that sees the pixels.

        Raises:
            UserError: there is none.
        """
        for layer in flat_layers(self.net):
            if isinstance(layer, keras.layers.Conv2D) and layer.kernel.shape[2] == 3:
                return layer
        raise UserError(f"this needs a backbone that begins with a convolution of the photo; received: {self.label}")

    def first_inputs(self, pixels: tf.Tensor) -> tf.Tensor:
        """Return what `first_conv` sees: some models scale or pad images themselves, or swap red and blue.

        Raises:
            UserError: it is inside another model.
        """
        conv = self.first_conv
        if not any(layer is conv for layer in self.net.layers):
            raise UserError(
                "this needs a backbone whose first convolution is a layer of its own, not of a model inside it; "
                f"received: {self.label}"
            )
        return tf.cast(keras.Model(self.net.inputs, conv.input)(self.net_inputs(pixels)), tf.float32)

    @property
    def channels(self) -> int:
        return int(self.net.outputs[-1].shape[-1])

    @property
    def input_size(self) -> int | None:
        return self.net.inputs[0].shape[1]


def flat_layers(model: keras.Model) -> list[Any]:
    """Return every layer of a model in order, those of models inside it in their place."""
    found = []
    for layer in model.layers:
        found += flat_layers(layer) if isinstance(layer, keras.Model) else [layer]
    return found


def recast(
    model: keras.Model,
    policy: keras.DTypePolicy,
    norm_momentum: float | None = None,
    norm_epsilon: float | None = None,
) -> keras.Model:
    """Make a functional model anew, with new weights, as the method needs it.

    In another precision; with our batch norm; without dropout and stochastic depth, whose draws would neither be
    repeatable nor differ between devices; with grouped convolutions in a form that every runtime has. All layers are
    trainable.

    Args:
        model: functional, models inside it functional too.
        policy: the precision.
        norm_momentum, norm_epsilon: of batch norm; None: as the model has them.

    Raises:
        UserError: a batch norm that ours cannot stand for, or a layer that draws at random.
    """

    def made(layer: keras.layers.Layer) -> Any:
        if not isinstance(layer, keras.layers.Layer):
            return layer  # an operation without state
        scales = isinstance(layer, keras.layers.Rescaling | keras.layers.Normalization)
        # bfloat16 is too coarse for pixels
        config = layer.get_config() | {"dtype": "float32" if scales else policy, "trainable": True}
        config |= {name: 0.0 for name in RANDOM_SHARES if isinstance(config.get(name), float | int)}
        if isinstance(layer, DROPS):
            config["rate"] = 0.0
        if type(layer).__name__ in ("StochasticDepth", "DropPath"):  # which would draw all the same
            return keras.layers.Identity(name=layer.name, dtype=policy)
        if isinstance(layer, keras.layers.Normalization) and layer.input_mean is not None:
            return _rescaling(layer)
        if isinstance(layer, keras.layers.BatchNormalization):
            return _norm(layer, config, norm_momentum, norm_epsilon)
        if type(layer) is keras.layers.Conv2D and layer.groups > 1 and set(layer.dilation_rate) == {1}:
            return _grouped(layer, config)
        return layer.__class__.from_config(config)

    copy = keras.models.clone_model(model, clone_function=made, recursive=True)
    for layer in flat_layers(copy):
        if any(isinstance(value, keras.random.SeedGenerator) for value in vars(layer).values()):
            raise UserError(
                f"a backbone must not draw at random, as a run that goes on must repeat its draws; received: layer "
                f"{layer.name} ({type(layer).__name__}); remove it"
            )
    return copy


def _rescaling(layer: keras.layers.Normalization) -> keras.layers.Rescaling:
    """A normalisation by fixed numbers without Keras' constants, which tf2onnx takes for inputs of the model."""
    mean, variance = (np.ravel(np.asarray(each, np.float32)) for each in (layer.input_mean, layer.input_variance))
    deviation = np.maximum(np.sqrt(variance), keras.config.epsilon())
    scale, offset = (1 / deviation).tolist(), (-mean / deviation).tolist()
    return keras.layers.Rescaling(scale, offset, dtype="float32", name=layer.name)


def _norm(
    layer: keras.layers.BatchNormalization, config: dict[str, Any], momentum: float | None, epsilon: float | None
) -> ApplicationNorm:
    last = layer.input_spec.ndim - 1  # `layer.input` is missing of a layer that stands in two places
    if not layer.center or layer.axis not in (-1, last):
        raise UserError(
            f"batch norm must have center=True and be over the last axis, as the game takes its moments itself; "
            f"received: layer {layer.name} with center={layer.center}, axis={layer.axis}"
        )
    config["momentum"] = config["momentum"] if momentum is None else momentum
    config["epsilon"] = config["epsilon"] if epsilon is None else epsilon
    return ApplicationNorm.from_config(config | {"axis": -1})


def _grouped(layer: keras.layers.Conv2D, config: dict[str, Any]) -> keras.layers.Layer:
    """The layer without Keras' grouped operation, which ONNX and TensorFlow Serving do not run."""
    if layer.groups != layer.filters or layer.kernel.shape[2] != 1:  # more than one channel each
        return Conv2D.from_config(config)
    names = ("name", "dtype", "kernel_size", "strides", "padding", "activation", "use_bias", "bias_initializer")
    same = {name: config[name] for name in names}
    return keras.layers.DepthwiseConv2D(**same, depthwise_initializer=config["kernel_initializer"])


def copy_weights(source: keras.Model, target: keras.Model) -> None:
    """Give `target`, made of `source` or a part of it by `recast`, the weights of the layers of the same names."""
    given = {layer.name: layer for layer in source.layers}
    for layer in target.layers:
        if isinstance(layer, keras.Model):
            copy_weights(given[layer.name], layer)
        elif layer.weights:
            # A depthwise kernel has its channels before its one filter, a grouped one after.
            pairs = zip(given[layer.name].get_weights(), layer.weights, strict=True)
            layer.set_weights([value.reshape(own.shape) for value, own in pairs])
