"""A network of `keras.applications` as a backbone, untrained, as far as stride 16."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import math
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any, Unpack

import keras
import tensorflow as tf

from tf_spot.errors import UserError
from tf_spot.models.backbones.base import Backbone
from tf_spot.models.layers import BatchNorm
from tf_spot.ops.registry import InputShape, ModelOptions, register

MAPS = 5
STRIDE = 16
REFERENCE = 224  # pixels: sizes of maps at every stride are told apart
# Ends of blocks, besides layers with an activation.
ENDS = (keras.layers.ReLU, keras.layers.Add, keras.layers.Concatenate)

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


@register
class Application(Backbone):
    """A model of `keras.applications`, from the pixels to its last map of stride 16.

    conv5 is that map. conv1, conv2, ... are the last maps of the smaller strides; where these are fewer than four,
    maps of stride 16 from further down come between, spread evenly. All are ends of blocks: activations, sums or
    concatenations that nothing later bypasses.

    The model begins at random weights and takes the input that its own `preprocess_input` gives. Its batch norms become
    ours, with the momentum and epsilon of the recipe; its dropout and stochastic depth are left out, as their draws
    would neither be repeatable nor differ between devices.

    Args:
        application: the function of `keras.applications`.
        width: factor on the channel counts, the `alpha` of the MobileNets; 1 for all others.
        num_maps: conv1 alone to all five, see `Backbone.cut`.

    Call arguments, Returns:
        see `Backbone`.

    Raises:
        UserError: no such width, or no maps of stride 16.
    """

    def __init__(
        self,
        application: str,
        width: float,
        norm_momentum: float,
        norm_epsilon: float,
        num_maps: int = MAPS,
        name: str = "backbone",
        **kwargs: Unpack[ModelOptions],
    ) -> None:
        norm: dict[str, Any] = {"norm_momentum": norm_momentum, "norm_epsilon": norm_epsilon}
        super().__init__({"application": application, "width": width, "num_maps": num_maps} | norm, name, **kwargs)
        make = _function(application)
        self.application = application
        self.preprocess = importlib.import_module(make.__module__).preprocess_input
        five = _five_ends(make, _widened(make, width))
        net = keras.Model(five.inputs, five.outputs[:num_maps])
        self.net = _recast(net, self.dtype_policy, norm_momentum, norm_epsilon)
        self.built = True

    def build(self, input_shape: InputShape) -> None:
        pass

    def of_pixels(
        self, pixels: tf.Tensor, training: bool = False, update_statistics: bool = True
    ) -> dict[str, tf.Tensor]:
        """Return the maps of images (batch, height, width, 3) in [0, 255]; see `Backbone`."""
        with _statistics(update_statistics):
            maps = keras.tree.flatten(self.net(self.net_inputs(pixels), training=training))
        return {f"conv{i}": tf.cast(value, tf.float32) for i, value in enumerate(maps, start=1)}

    def net_inputs(self, pixels: tf.Tensor) -> tf.Tensor:
        """Return images (batch, height, width, 3) in [0, 255] as the model's own `preprocess_input` scales them."""
        return self.preprocess(tf.cast(pixels, tf.float32))

    @property
    def stages(self) -> list[list[Any]]:
        ends = [self.net.operations.index(output._keras_history.operation) for output in self.net.outputs]
        groups: list[list[Any]] = [[] for _ in ends]
        for index, operation in enumerate(self.net.operations):
            if getattr(operation, "weights", None):
                # The first end at or after the operation: the map that it helps to make.
                groups[next(stage for stage, end in enumerate(ends) if index <= end)].append(operation)
        return groups

    @property
    def norms(self) -> list[Any]:
        """Every batch norm."""
        return [layer for layer in self.net.layers if isinstance(layer, BatchNorm)]

    @property
    def first_conv(self) -> Any:
        return next(layer for layer in self.net.layers if isinstance(layer, keras.layers.Conv2D))

    def first_inputs(self, pixels: tf.Tensor) -> tf.Tensor:
        """Return what `first_conv` sees: some models scale or pad images themselves, or swap red and blue."""
        return tf.cast(keras.Model(self.net.inputs, self.first_conv.input)(self.net_inputs(pixels)), tf.float32)

    @property
    def channels(self) -> int:
        return int(self.net.outputs[-1].shape[-1])

    def grid_size(self, pixels: int) -> int:
        try:
            size = int(_sizes(self.net, pixels)[-1])
        except ValueError:  # Keras' word for a kernel that is larger than what is left
            size = 0
        if not size:
            raise UserError(
                f"network.backbone={self.application} wants images or patches of {STRIDE} pixels or more; received: "
                f"{pixels}; take a larger data.image_size, or alexnet or resnet18"
            )
        return size


def _function(application: str) -> Callable[..., keras.Model]:
    """The function of `keras.applications`, by its name."""
    make: Callable[..., keras.Model] = getattr(keras.applications, application)
    return make


def _widened(make: Callable[..., keras.Model], width: float) -> dict[str, Any]:
    """The width, as the function takes it."""
    if "alpha" in inspect.signature(make).parameters:
        return {"alpha": width}
    if width != 1:
        raise UserError(f"network.backbone={make.__name__} comes in the width 1 only; received: network.width={width}")
    return {}


def _five_ends(make: Callable[..., keras.Model], settings: dict[str, Any]) -> keras.Model:
    """The model cut off at conv5, with the five maps as outputs."""
    model = make(include_top=False, weights=None, input_shape=(None, None, 3), **settings)
    ends = _block_ends(model)
    tapped = keras.Model(model.inputs, [end.output for end in ends])
    by_stride: dict[int, list[Any]] = {}
    for end, size in zip(ends, _sizes(tapped, REFERENCE), strict=True):
        by_stride.setdefault(2 ** round(math.log2(REFERENCE / size)), []).append(end)
    deepest = by_stride.get(STRIDE, [])
    chosen = [found[-1] for stride, found in sorted(by_stride.items()) if stride < STRIDE]
    missing = MAPS - 1 - len(chosen)
    if len(deepest) <= missing:
        raise UserError(f"a backbone needs maps of stride {STRIDE}; received: {make.__name__}, which has too few")
    chosen += [deepest[(i + 1) * len(deepest) // (missing + 1) - 1] for i in range(missing + 1)]
    return keras.Model(model.inputs, [end.output for end in chosen])


def _block_ends(model: keras.Model) -> list[Any]:
    """Activations, sums and concatenations through which everything passes, in order."""
    operations = model.operations
    positions = {id(operation): index for index, operation in enumerate(operations)}
    last_use = list(range(len(operations)))
    for index, operation in enumerate(operations[1:], start=1):  # the first is the input
        for tensor in keras.tree.flatten(operation.input):
            source = positions[id(tensor._keras_history.operation)]
            last_use[source] = max(last_use[source], index)
    # Everything passes through an operation if no tensor made before it is used after it.
    found, furthest = [], 0
    for index, operation in enumerate(operations):
        if index and furthest <= index and _is_end(operation):
            found.append(operation)
        furthest = max(furthest, last_use[index])
    return found


def _is_end(operation: keras.Operation) -> bool:
    activation = getattr(operation, "activation", keras.activations.linear)
    return isinstance(operation, ENDS) or activation is not keras.activations.linear


def _sizes(model: keras.Model, pixels: int) -> list[int]:
    """Cells per side of every output."""
    maps = model.compute_output_spec(keras.KerasTensor((None, pixels, pixels, 3)))
    return [int(each.shape[1]) for each in keras.tree.flatten(maps)]


def _recast(model: keras.Model, policy: keras.DTypePolicy, norm_momentum: float, norm_epsilon: float) -> keras.Model:
    """The model anew, in another precision and with our batch norm."""

    def recast(layer: keras.layers.Layer) -> Any:
        if not isinstance(layer, keras.layers.Layer):
            return layer  # an operation without state
        scales = isinstance(layer, keras.layers.Rescaling | keras.layers.Normalization)
        config = layer.get_config() | {"dtype": "float32" if scales else policy}  # bfloat16 is too coarse for pixels
        if isinstance(layer, keras.layers.Dropout):
            config["rate"] = 0.0
        if isinstance(layer, keras.layers.BatchNormalization):
            return ApplicationNorm.from_config(config | {"momentum": norm_momentum, "epsilon": norm_epsilon})
        return layer.__class__.from_config(config)

    return keras.models.clone_model(model, clone_function=recast)
