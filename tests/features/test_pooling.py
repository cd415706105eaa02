"""Pooling of maps to vectors."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_spot.errors import UserError
from tf_spot.features.pooling import Pooling, averaged, bins, pooled


@pytest.mark.parametrize(
    ("size", "channels", "grid"),
    # The grids that the paper's line of work uses for a 227-pixel AlexNet: 9,600, 9,216, 9,600 and 9,216 values.
    [(55, 96, 10), (27, 256, 6), (13, 384, 5), (13, 256, 6)],
)
def test_grid_of_the_usual_alexnet(size: int, channels: int, grid: int) -> None:
    assert Pooling().grid(size, size, channels) == grid


def test_grid_is_the_nearest_and_never_exceeds_the_map() -> None:
    assert Pooling(num_values=100).grid(9, 9, 2) == 7  # 98 against 72 and 128
    assert Pooling(num_values=9_000).grid(4, 6, 3) == 4  # the shorter side
    assert Pooling(num_values=10).grid(5, 5, 64) == 1  # more channels than values


def test_bins_touch_every_pixel_and_overlap_where_they_must() -> None:
    assert bins(2, 4) == [(0, 2), (2, 4)]
    assert bins(2, 3) == [(0, 2), (1, 3)]
    assert bins(3, 8) == [(0, 3), (2, 6), (5, 8)]


def test_average_and_max_by_hand() -> None:
    maps = tf.constant([[1.0, 2, 3], [4, 5, 6], [7, 8, 9]])[None, :, :, None]
    # Cells of 2x2 that share the middle row and column.
    np.testing.assert_allclose(Pooling(4, "average")(maps), [[3, 4, 6, 7]])
    np.testing.assert_allclose(Pooling(4, "max")(maps), [[5, 6, 8, 9]])


def test_channels_stay_apart_and_a_full_grid_changes_nothing() -> None:
    maps = np.random.default_rng(0).normal(size=(2, 4, 4, 3)).astype(np.float32)
    for kind in ("average", "max"):
        np.testing.assert_allclose(Pooling(48, kind)(maps), maps.reshape(2, 48), rtol=1e-6)
        found = Pooling(3, kind)(maps)
        expected = maps.mean(axis=(1, 2)) if kind == "average" else maps.max(axis=(1, 2))
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
        assert found.dtype == np.float32


def test_half_precision_maps_give_float32() -> None:
    assert Pooling(4)(tf.ones((1, 2, 2, 1), tf.bfloat16)).dtype == np.float32


@pytest.mark.parametrize("wrong", [{"num_values": 0}, {"kind": "median"}])
def test_refuses_what_is_not_allowed(wrong: dict) -> None:
    with pytest.raises(UserError, match="received"):
        Pooling(**wrong)


def test_layers_are_chosen_by_name_in_the_order_asked() -> None:
    maps = {"a": tf.ones((2, 2, 2, 1)), "b": tf.zeros((2, 1, 1, 3))}
    assert list(pooled(lambda images: maps, Pooling(4))(None)) == ["a", "b"]
    chosen = pooled(lambda images: maps, Pooling(4), ["b", "a"])(None)
    assert {name: values.shape for name, values in chosen.items()} == {"b": (2, 3), "a": (2, 4)}
    assert list(chosen) == ["b", "a"]
    with pytest.raises(UserError, match="allowed: a, b; received: conv9"):
        pooled(lambda images: maps, Pooling(4), ["conv9"])(None)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_refuses_features_that_are_not_finite(bad: float) -> None:
    maps = {"conv1": tf.constant([[[[1.0, bad]]]])}
    with pytest.raises(UserError, match="conv1"):
        pooled(lambda images: maps, Pooling(2))(None)


def test_takes_large_features_whose_sum_is_not_finite() -> None:
    maps = {"conv1": tf.constant([[[[3e38, 3e38]]]])}
    np.testing.assert_array_equal(pooled(lambda images: maps, Pooling(2))(None)["conv1"], maps["conv1"][0, 0])


def test_a_smaller_batch_makes_no_other_graph() -> None:
    traced = []

    @tf.function
    def extract(images: tf.Tensor) -> dict[str, tf.Tensor]:
        traced.append(images.shape[0])
        return {"conv1": images}

    vectors_of = pooled(extract, Pooling(4))
    for count in (4, 1, 3):
        images = np.random.default_rng(count).normal(size=(count, 2, 2, 1)).astype(np.float32)
        np.testing.assert_array_equal(vectors_of(images)["conv1"], images.reshape(count, 4))
    assert traced == [4]


def test_a_keras_model_gives_what_the_same_function_gives() -> None:
    """One runs as a graph with its pooling, the other step by step; the last batch is a smaller one, and filled up."""
    inputs = keras.Input((5, 5, 3))
    model = keras.Model(inputs, {"b": keras.layers.Conv2D(4, 3)(inputs), "a": keras.layers.Conv2D(2, 1)(inputs)})
    graph, steps = pooled(model, Pooling(8)), pooled(lambda images: model(images), Pooling(8))
    for count in (4, 4, 1):
        images = np.random.default_rng(count).normal(size=(count, 5, 5, 3)).astype(np.float32)
        found, wanted = graph(images), steps(images)
        assert set(found) == set(wanted) == {"a", "b"}
        for name in found:
            np.testing.assert_allclose(found[name], wanted[name], rtol=1e-5, atol=1e-6)
    with pytest.raises(UserError, match="received: conv9"):
        pooled(model, Pooling(8), ["conv9"])(images)
    assert list(pooled(model, Pooling(8), ["b", "a"])(images)) == ["b", "a"]


def test_averaged_is_the_mean_of_one_layer_over_its_map() -> None:
    maps = np.random.default_rng(0).normal(size=(2, 3, 5, 4)).astype(np.float32)
    found = averaged(lambda images: {"conv1": tf.zeros((2, 1, 1, 1)), "conv4": tf.constant(maps)}, "conv4")(None)
    assert found.shape == (2, 4) and found.dtype == np.float32
    np.testing.assert_allclose(found, maps.mean(axis=(1, 2)), rtol=1e-5, atol=1e-6)
    with pytest.raises(UserError, match="--layer must be one of conv1, .*; received: conv6"):
        averaged(lambda images: {}, "conv6")
