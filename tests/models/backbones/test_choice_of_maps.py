"""The five maps of a functional model: by stride, in order, each made with what the one before is made with."""

from __future__ import annotations

import keras
import pytest

from tests.support.own_models import CONV_LAYERS, small_conv
from tf_spot.errors import UserError
from tf_spot.models.backbones.choice_of_maps import block_ends, evenly_spread, layers_of, with_weights

layers = keras.layers


def test_ends_are_where_everything_passes() -> None:
    x = inputs = keras.Input((None, None, 3))
    x = layers.Conv2D(4, 3, padding="same", activation="relu", name="before")(x)
    y = layers.Conv2D(4, 3, padding="same", activation="relu", name="bypassed")(x)
    x = x + y  # an operation, no layer
    x = layers.Activation("relu", name="after")(x + 1.0)
    ends = [operation.name for operation in block_ends(keras.Model(inputs, x))]
    assert ends[0] == "before" and ends[-1] == "after" and "bypassed" not in ends
    assert len(ends) == 3 and ends[1].startswith("add"), "the sum of two maps, and not that with a constant"


def test_levels_that_a_model_offers_come_before_other_maps_of_their_stride() -> None:
    """The face of KerasHub's backbones: a functional model with `pyramid_outputs`, {"P2": a map of stride 4, ...}."""

    class Pyramid(keras.Model):
        """A stand-in of `keras_hub.models.Backbone`."""

    model = small_conv()
    inner = model.get_layer("three").input  # before the activation, of stride 8
    offered = Pyramid(model.inputs, model.outputs)
    offered.pyramid_outputs = {"P3": inner}
    chosen = layers_of(keras.Model(model.inputs, evenly_spread(offered, "offered")))
    assert chosen == ["one", "two", inner._keras_history.operation.name, "four", "five"]


def test_too_few_maps_of_stride_16_are_named() -> None:
    with pytest.raises(UserError, match="stride 16; received: mine, which has too few; name five layers yourself"):
        evenly_spread(small_conv(stride=4), "mine")


def test_what_each_map_is_made_with_grows_from_map_to_map() -> None:
    model = small_conv()
    net = keras.Model(model.inputs, [model.get_layer(name).output for name in CONV_LAYERS])
    assert [len(needed) for needed in with_weights(net)] == [2, 4, 6, 8, 10]
