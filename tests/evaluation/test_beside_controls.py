"""A probe beside its controls, on networks as they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tests.support.evaluation_data import SIZE, Stripes
from tf_spot.errors import UserError
from tf_spot.evaluation import beside_controls, evaluate_task
from tf_spot.evaluation.beside_controls import control_extractors
from tf_spot.evaluation.result_cache import ResultCache
from tf_spot.features.pooling import Pooling


def test_figures_are_complete_and_can_be_written(result: dict[str, Any]) -> None:
    layers = [f"conv{i}" for i in range(1, 6)]
    assert json.loads(json.dumps(result)) == result
    assert {name: result[name] for name in ("method", "data", "metric", "unit", "train_images", "test_images")} == {
        "method": "spot", "data": "stripes", "metric": "accuracy", "unit": "percent", "train_images": 60,
        "test_images": 30,
    }  # fmt: skip
    assert list(result["by_layer"]) == list(result["chosen"]) == list(result["num_values"]) == layers
    assert result["value"] == result["by_layer"]["conv5"] and result["layer"] == "conv5"
    assert result["best_layer"] == max(layers, key=lambda name: result["held_out"][name]), "chosen on held-out labels"
    assert list(result["rivals"]) == ["random", "encoding", "pixels"]
    assert list(result["rivals"]["random"]["by_layer"]) == layers
    for name in ("encoding", "pixels"):
        assert result["rivals"][name]["by_layer"] == {name: result["rivals"][name]["value"]}
    assert result["rivals"]["pixels"]["num_values"] == {"pixels": 8 * 8 * 3}
    assert result["rivals"]["pixels"]["value"] > 90  # the class is a colour


def test_encoding_and_pixels_are_what_they_are_called(networks: dict[str, Any]) -> None:
    images = tf.random.uniform((2, SIZE, SIZE, 3), -1, 1)
    maps = control_extractors(**networks, pooling=Pooling(192), seed=0)["others"](images)
    np.testing.assert_array_equal(maps["encoding"], networks["autoencoder"].encoder(images, training=False))
    by_hand = images.numpy().reshape(2, 8, 2, 8, 2, 3).mean(axis=(2, 4))  # 16 pixels to 8: 192 values
    np.testing.assert_allclose(maps["pixels"], by_hand, atol=1e-6)


def test_probes_are_seen_in_progress_and_layers_are_passed_on(networks: dict[str, Any]) -> None:
    told: list[tuple[int, int, str]] = []
    result = evaluate_task(
        "linear", source=Stripes(), num_values=50, layers=["conv2", "conv5"], pooling="max",
        on_progress=lambda *line: told.append(line), **networks,
    )  # fmt: skip
    assert list(result["by_layer"]) == list(result["rivals"]["random"]["by_layer"]) == ["conv2", "conv5"]
    assert list(dict.fromkeys(line[2] for line in told)) == [
        "probing spot",
        "probing random",
        "probing encoding, pixels",
    ]
    assert told[-1][0] == told[-1][1] == 3 * (2 * 60 + 30)
    assert result["pooling"] == "max"


def test_what_is_finished_is_not_done_again_after_a_stop(networks: dict[str, Any], tmp_path: Path) -> None:
    """The spotter's scores are kept when the probe of its control is stopped; the figures are those of one go."""

    def stop_at_random(done: int, total: int, text: str) -> None:
        if "random" in text:
            raise KeyboardInterrupt

    words = {"source": Stripes(), "num_values": 50, "layers": ["conv2", "conv5"]} | networks
    with pytest.raises(KeyboardInterrupt):
        evaluate_task("linear", cache=ResultCache(tmp_path, {}), on_progress=stop_at_random, **words)
    told: list[tuple[int, int, str]] = []
    cache = ResultCache(tmp_path, {})
    found = evaluate_task("linear", cache=cache, on_progress=lambda *line: told.append(line), **words)
    assert cache.resumed == 1 and found == evaluate_task("linear", **words)
    assert [line[2] for line in told].count("probing spot") == 2, "its begin and its end, nothing between"
    assert told[-1][0] == told[-1][1]


def test_adapted_norms_are_probed_beside_frozen_ones(networks: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """An adapted network is known here by its maps, one value each; it is made from the training photos."""

    def one_value(network: Any, photos: np.ndarray) -> Any:
        assert photos.shape == (60, SIZE, SIZE, 3)
        return lambda images: {name: np.asarray(images)[:, :1, :1, :1] for name in ("conv4", "conv5")}

    monkeypatch.setattr(beside_controls, "adapted", one_value)
    words = {"source": Stripes(), "num_values": 50, "layers": ["conv4", "conv5"]} | networks
    frozen, result = evaluate_task("knn", **words), evaluate_task("knn", norms="adapt", **words)
    assert (frozen["method"], frozen["norms"]) == ("spot", "frozen")
    assert (result["method"], result["norms"]) == ("spot, adapted", "adapt")
    assert list(result["rivals"]) == ["random, adapted", "spot", "random", "encoding", "pixels"]
    for name in ("random", "encoding", "pixels"):
        assert result["rivals"][name] == frozen["rivals"][name], "what was frozen stays as it is"
    assert result["rivals"]["spot"]["by_layer"] == frozen["by_layer"]
    one = {"conv4": 1, "conv5": 1}
    assert result["num_values"] == result["rivals"]["random, adapted"]["num_values"] == one != frozen["num_values"]
    with pytest.raises(UserError, match="--norms must be adapt or frozen; received: warm"):
        evaluate_task("knn", norms="warm", **words)


def test_mistakes_are_told_before_any_work(networks: dict[str, Any]) -> None:
    class Flat(Stripes):
        has_labels = False

    class Untested(Stripes):
        has_test = False

    for task, source, match in (
        ("colour", Stripes(), "allowed: linear, knn; received: colour"),
        ("linear", Flat(), "labelled photos; received made:stripes"),
        ("linear", Untested(), "test split; received made:stripes"),
    ):
        with pytest.raises(UserError, match=match):
            evaluate_task(task, source=source, **networks)


def test_random_control_has_the_architecture_but_other_weights(networks: dict[str, Any]) -> None:
    backbone = networks["backbone"]
    draws = [control_extractors(**networks, pooling=Pooling(), seed=seed)["random"] for seed in (0, 0, 1)]
    first, again, other = ([v.numpy() for v in draw.variables] for draw in draws)
    assert [v.shape for v in first] == [tuple(v.shape) for v in backbone.variables]
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert any(not np.array_equal(a, b) for a, b in zip(first, other, strict=True))
    assert not np.array_equal(other[0], backbone.variables[0].numpy())  # made after seed 0, as every test is
