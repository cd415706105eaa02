"""One's own Keras model as a backbone: five of its layers are the maps."""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Unpack

import keras
import tensorflow as tf

from tf_spot.errors import UserError
from tf_spot.models.backbones.base import Backbone
from tf_spot.models.backbones.choice_of_maps import MAPS, cut_off, evenly_spread, layers_of, named_maps, sizes
from tf_spot.models.backbones.functional import FunctionalBackbone, copy_weights, recast
from tf_spot.ops.registry import ModelOptions, register

# Factor and shift of photos in [0, 255] for each range that a model may take.
RANGES = {"-1..1": (1 / 127.5, -1.0), "0..1": (1 / 255, 0.0), "0..255": (1.0, 0.0)}
# The names that models of keras.applications have, and the module whose `preprocess_input` they take.
MODULES = {
    r"convnext_\w+": "convnext", r"densenet\d+": "densenet", r"efficientnetb\d": "efficientnet",
    r"efficientnetv2-\w+": "efficientnet_v2", r"mobilenet_[\d.]+_\d+": "mobilenet",
    r"mobilenetv2_[\d.]+_\d+": "mobilenet_v2", r"MobileNetV3\w+": "mobilenet_v3", r"resnet\d+": "resnet",
    r"resnet\d+v2": "resnet_v2", r"vgg16": "vgg16", r"vgg19": "vgg19", r"xception": "xception",
}  # fmt: skip


@register
class KerasBackbone(FunctionalBackbone):
    """A functional or sequential Keras model, from the pixels to five of its maps.

    The model is copied: its layers as far as the deepest map, with their weights. Its batch norms become ours, with
    their own momentum and epsilon; dropout and stochastic depth are left out, see `recast`.

    Args:
        model: of one input, photos (batch, height, width, 3), of any size or of one. Classes of its layers that are not
            Keras' own must be registered (`keras.saving.register_keras_serializable`).
        layers: names of five layers, whose outputs (batch, h, w, channels) are conv1 to conv5, from shallow to deep.
            None: the outputs of a model with five; of another one chosen by stride, see `evenly_spread`.
        preprocess: what the model takes: `-1..1`, `0..1` or `0..255`, or the module of `keras.applications` whose
            `preprocess_input` makes it, such as `resnet`. None: that of the model's name, if it is one that
            `keras.applications` gives, such as `resnet50`; else `-1..1`.
        num_maps: conv1 alone to all five, see `Backbone.cut`.

    Call arguments, Returns:
        see `Backbone`.

    Raises:
        UserError: a model or layers that cannot be a backbone; the message says why.
    """

    def __init__(
        self,
        model: keras.Model | str,
        layers: Sequence[str] | None = None,
        preprocess: str | None = None,
        num_maps: int = MAPS,
        name: str = "backbone",
        **kwargs: Unpack[ModelOptions],
    ) -> None:
        given = None if isinstance(model, str) else _five_maps(model, layers)
        # The saved form is read at once: what could not be opened again is refused before it is trained.
        text = model if given is None else _text(given)
        five = _of_text(text)
        settings = {"model": text, "layers": layers_of(five), "preprocess": _preprocess_of(preprocess, five.name)}
        super().__init__(settings | {"num_maps": num_maps}, name, **kwargs)
        self.label = f"the model {five.name}"
        self.net = recast(keras.Model(five.inputs, five.outputs[:num_maps]), self.dtype_policy)
        if given is not None:
            copy_weights(given, self.net)
        self.built = True

    def preprocess(self, pixels: tf.Tensor) -> tf.Tensor:
        """Return photos in the range that the model takes, of photos in [0, 255]."""
        name = self._settings["preprocess"]
        if name in RANGES:
            factor, shift = RANGES[name]
            return pixels * factor + shift
        return importlib.import_module(f"keras.applications.{name}").preprocess_input(pixels)

    def grid_size(self, pixels: int) -> int:
        own = self.input_size
        if own not in (None, pixels):
            raise UserError(f"{self.label} takes images of {own} pixels; received: {pixels}; set data.image_size={own}")
        try:
            found = sizes(self.net, pixels)
        except ValueError as error:
            reason = " ".join(str(error).split())[:200]
            raise UserError(
                f"{self.label} cannot take images of {pixels} pixels ({reason}); take a larger data.image_size"
            ) from error
        _check_sizes(found, pixels, self.label, self._settings["layers"])
        return found[-1][0]


def load_own(path: str | Path, precision: str = "float32") -> Backbone:
    """Open the file of a backbone, or of a Keras model whose maps are then chosen by stride.

    Args:
        path: a .keras file.
        precision: of its computations, whatever it was saved in.

    Raises:
        UserError: no such file, or no backbone.
    """
    if not Path(path).is_file():
        raise UserError(
            "network.backbone is the name of a backbone or the file of one's own, which ends in .keras; received: "
            f"{path}, which is no file; write one with tf_spot.KerasBackbone(model, layers).save(PATH)"
        )
    try:
        model = keras.saving.load_model(path, compile=False)
    except Exception as error:  # of zip, JSON, HDF5 and Keras: a damaged file makes them raise nearly anything
        raise UserError(f"{_unsaved(error)}; received: {path}") from error
    if not isinstance(model, Backbone):
        return KerasBackbone(model, dtype=precision)
    if model.dtype_policy.name == precision:
        return model
    other: Backbone = model.from_config(model.get_config() | {"dtype": precision})
    other.set_weights(model.get_weights())
    return other


def _five_maps(model: keras.Model, layers: Sequence[str] | None) -> keras.Model:
    """Return a model cut off at conv5, with the five maps as outputs."""
    if not isinstance(model, keras.Model):
        raise UserError(
            f"a backbone of one's own is a Keras model; received: {type(model).__name__}; see docs/backbones.md"
        )
    name = f"the model {model.name}"
    if isinstance(model, keras.Sequential):
        if not model.built:
            raise UserError(f"a sequential model must begin with keras.Input((height, width, 3)); received: {name}")
        model = keras.Model(model.inputs, model.outputs, name=model.name)
    if not hasattr(model, "operations"):
        raise UserError(
            f"a backbone is a functional or sequential model, whose layers are known; received: {name} of class "
            f"{type(model).__name__}; build it with keras.Model(inputs, outputs)"
        )
    inputs, shape = model.inputs, model.inputs[0].shape
    if len(inputs) != 1 or len(shape) != 4 or shape[-1] != 3 or shape[1] != shape[2]:
        raise UserError(
            "a backbone takes one input, photos (batch, height, width, 3) of equal sides; received: "
            f"{', '.join(str(each.shape) for each in inputs)} of {name}"
        )
    if layers is not None:
        maps = named_maps(model, layers, name)
    else:
        maps = model.outputs if len(model.outputs) == MAPS else evenly_spread(model, name)
    return cut_off(model, maps, name, model.name)


def _check_sizes(found: Sequence[tuple[int, int]], pixels: int, label: str, layers: Sequence[str]) -> None:
    """Raise a `UserError` unless maps are square and become no larger, the last one smaller than the image."""
    text = ", ".join(f"{layer} {height}x{width}" for layer, (height, width) in zip(layers, found, strict=False))
    heights = [pixels] + [height for height, _ in found]
    if any(height != width or not height for height, width in found):
        raise UserError(f"maps must be square, with a cell at least; received at {pixels} pixels of {label}: {text}")
    if heights != sorted(heights, reverse=True) or (len(found) == MAPS and heights[-1] == pixels):
        raise UserError(
            f"maps must shrink from conv1 to conv{MAPS}, whose cells are those of the encoding, or stay as they are; "
            f"received at {pixels} pixels of {label}: {text}; choose layers from shallow to deep"
        )


def _text(model: keras.Model) -> str:
    """Return what the model is made of, as JSON: a text, so that nothing changes the precisions in it."""
    try:
        return json.dumps(keras.saving.serialize_keras_object(model))
    except (TypeError, ValueError, NotImplementedError) as error:
        raise UserError(f"{_unsaved(error)}; received: the model {model.name}") from error


def _of_text(text: str) -> keras.Model:
    try:
        return keras.saving.deserialize_keras_object(json.loads(text))
    except (TypeError, ValueError, NotImplementedError, ImportError) as error:
        raise UserError(_unsaved(error)) from error


def _unsaved(error: Exception) -> str:
    # Keras tells what it was about from the outermost object on; the cause comes last.
    reason = " ".join(str(error).split()).rpartition("Exception encountered: ")[2][:300]
    return (
        "a backbone must be one that Keras can save and open: no Lambda layers, and classes of one's own registered "
        f"with keras.saving.register_keras_serializable and imported before the file is opened ({reason})"
    )


def _preprocess_of(preprocess: str | None, model_name: str) -> str:
    """Return a range or a module, see `KerasBackbone`."""
    if preprocess is None:
        found = [module for pattern, module in MODULES.items() if re.fullmatch(pattern, model_name)]
        return found[0] if found else "-1..1"
    if preprocess not in RANGES and preprocess not in MODULES.values():
        raise UserError(
            f"preprocess must be {', '.join(RANGES)}, or a module of keras.applications: "
            f"{', '.join(sorted(set(MODULES.values())))}; received: {preprocess!r}"
        )
    return preprocess
