"""A network of `keras.applications` as a backbone, as far as its deepest map of five."""

from __future__ import annotations

import functools
import importlib
import inspect
import warnings
from collections.abc import Callable, Sequence
from typing import Any, Unpack

import keras
import tensorflow as tf

from tf_spot.errors import UserError
from tf_spot.models.backbones.choice_of_maps import MAPS, STRIDE, cut_off, evenly_spread, named_maps, sizes
from tf_spot.models.backbones.functional import FunctionalBackbone, copy_weights, recast
from tf_spot.ops.registry import ModelOptions, register


@register
class Application(FunctionalBackbone):
    """A model of `keras.applications`, from the pixels to its last map of stride 16.

    The maps are those of `evenly_spread`, or those of five layers by name.

    The model begins at random weights and takes the input that its own `preprocess_input` gives. Its batch norms become
    ours, with the momentum and epsilon of the recipe; its dropout and stochastic depth are left out, see `recast`.

    Args:
        application: the function of `keras.applications`.
        width: factor on the channel counts, the `alpha` of the MobileNets; 1 for all others.
        norm_momentum: of batch norm.
        norm_epsilon: of batch norm; None: that of the model.
        layers: names of the five layers that make the maps; None: chosen by stride.
        num_maps: conv1 alone to all five, see `Backbone.cut`.

    Call arguments, Returns:
        see `Backbone`.

    Raises:
        UserError: no such width or layer, or no maps of stride 16.
    """

    def __init__(
        self,
        application: str,
        width: float,
        norm_momentum: float,
        norm_epsilon: float | None,
        num_maps: int = MAPS,
        layers: Sequence[str] | None = None,
        name: str = "backbone",
        **kwargs: Unpack[ModelOptions],
    ) -> None:
        settings: dict[str, Any] = {"application": application, "width": width, "num_maps": num_maps}
        settings |= {"norm_momentum": norm_momentum, "norm_epsilon": norm_epsilon}
        settings |= {"layers": list(layers)} if layers else {}
        super().__init__(settings, name, **kwargs)
        self.application = application
        self.label = f"network.backbone={application}"
        make = _function(application)
        self._preprocess = importlib.import_module(make.__module__).preprocess_input
        five = self._five_maps(None)
        net = keras.Model(five.inputs, five.outputs[:num_maps])
        self.net = recast(net, self.dtype_policy, norm_momentum, norm_epsilon)
        self.built = True

    def _five_maps(self, weights: str | None) -> keras.Model:
        """Return the model cut off at conv5, with the five maps as outputs."""
        make, settings = _function(self.application), self._settings
        options = _widened(make, settings["width"]) | {"include_top": False, "weights": weights}
        model = make(input_shape=(None, None, 3), **options)
        layers = settings.get("layers")
        choose = functools.partial(named_maps, layers=layers) if layers else evenly_spread
        return cut_off(model, choose(model, name=self.application), self.application)

    def load_imagenet(self) -> None:
        """Begin with Keras' weights of ImageNet, which were learned with labels.

        Raises:
            UserError: they cannot be downloaded, or are not published for this width.
        """
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # of the MobileNets: their weights are those of 224 pixels
                trained = self._five_maps("imagenet")
        except UserError:
            raise
        except Exception as error:  # of Keras' download, which raises a bare one, or of its check of the width
            reason = " ".join(str(error).split())[:200]
            raise UserError(
                f"network.backbone_weights=imagenet needs the weights that Keras downloads into its cache "
                f"(KERAS_HOME or ~/.keras, models/); received: {reason}; connect, or take "
                "network.backbone_weights=random"
            ) from error
        copy_weights(trained, self.net)

    def preprocess(self, pixels: tf.Tensor) -> tf.Tensor:
        """Return photos as the model's own `preprocess_input` gives them, of photos in [0, 255]."""
        return self._preprocess(pixels)

    def grid_size(self, pixels: int) -> int:
        try:
            size = sizes(self.net, pixels)[-1][0]
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
