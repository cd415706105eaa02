"""The two probes from images to figures, on extractors that are plain functions."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import tf_spot
from tests.support.bright_quarters import CLASSES, dataset, maps, photos
from tf_spot.errors import UserError
from tf_spot.evaluation import knn_probe, linear_probe
from tf_spot.evaluation.probes.examples import Examples

PROBES = pytest.mark.parametrize("probe", [linear_probe, knn_probe])


class Counting:
    """A dataset of NumPy batches that counts how many of its images are extracted."""

    def __init__(self, images: np.ndarray, labels: np.ndarray) -> None:
        self.images, self.labels, self.seen = images, labels, 0

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        for start in range(0, len(self.images), 64):
            yield self.images[start : start + 64], self.labels[start : start + 64]

    def extract(self, images: np.ndarray) -> dict[str, Any]:
        self.seen += int(np.shares_memory(images, self.images)) * len(images)
        return maps(images)


@PROBES
def test_public_names_are_these(probe: Any) -> None:
    assert getattr(tf_spot, probe.__name__) is probe


@PROBES
def test_finds_what_a_layer_holds_and_nothing_where_there_is_nothing(probe: Any) -> None:
    result = probe(maps, dataset(*photos(400, 0)), dataset(*photos(200, 1)), num_values=12)
    assert result["by_layer"]["place"] > 90
    assert abs(result["by_layer"]["blind"] - 25) < 15
    assert result["best_layer"] == "place" == max(result["held_out"], key=lambda name: result["held_out"][name])
    assert result["layer"] == "blind" and result["value"] == result["by_layer"]["blind"], "the last one, not the best"
    assert result["num_values"] == {"place": 12, "blind": 3}
    assert (result["train_images"], result["test_images"]) == (400, 200)
    share = result["value"] / 100
    assert result["stderr"] == pytest.approx(100 * np.sqrt(share * (1 - share) / 200), abs=0.01)


@PROBES
def test_shuffled_labels_give_chance(probe: Any) -> None:
    train, test = photos(600, 0), photos(600, 1)
    random = np.random.default_rng(2)
    shuffled = [(images, random.permutation(labels)) for images, labels in (train, test)]
    result = probe(maps, *(dataset(*pair) for pair in shuffled), num_values=12)
    chance = 100 / CLASSES
    two_errors = 2 * np.sqrt(chance * (100 - chance) / 600)
    assert all(abs(value - chance) <= two_errors for value in result["by_layer"].values())


@PROBES
def test_the_label_as_a_feature_gives_100(probe: Any) -> None:
    def answers(labels: np.ndarray) -> np.ndarray:
        return np.eye(10, dtype=np.float32)[labels][:, None, None, :]

    (_, train), (_, test) = photos(300, 0), photos(100, 1)
    result = probe(lambda images: {"label": images}, dataset(answers(train), train), dataset(answers(test), test))
    assert result["value"] == 100 and result["stderr"] == 0


@PROBES
def test_test_labels_cannot_touch_the_choice(probe: Any) -> None:
    train, (images, labels) = photos(300, 0, signal=0.3), photos(100, 1, signal=0.3)
    permuted = np.random.default_rng(3).permutation(labels)
    honest = probe(maps, dataset(*train), dataset(images, labels), num_values=48)
    changed = probe(maps, dataset(*train), dataset(images, permuted), num_values=48)
    assert changed["chosen"] == honest["chosen"]
    assert changed["by_layer"] != honest["by_layer"]


@PROBES
def test_test_images_are_extracted_once(probe: Any) -> None:
    test = Counting(*photos(100, 1))
    probe(test.extract, dataset(*photos(200, 0)), test)
    assert test.seen == 100


@PROBES
def test_layers_and_pooling_and_num_values_take_effect(probe: Any) -> None:
    train, test = dataset(*photos(200, 0)), dataset(*photos(100, 1))
    assert list(probe(maps, train, test, layers=["blind"])["by_layer"]) == ["blind"]
    assert probe(maps, train, test, layers=iter(["place"]), num_values=48)["num_values"] == {"place": 48}

    def peaks(images: Any) -> dict[str, Any]:
        """Two pixels a channel whose mean is 0 and whose largest value says the class."""
        size = tf.reduce_mean(images[:, :4, :4], axis=(1, 2, 3), keepdims=True)
        return {"peak": tf.concat([tf.abs(size), -tf.abs(size)], axis=1)}

    by_kind = {kind: probe(peaks, train, test, num_values=1, pooling=kind)["value"] for kind in ("average", "max")}
    assert by_kind["max"] > by_kind["average"] + 5


@PROBES
def test_seed_draws_the_held_out_part(probe: Any) -> None:
    train, test = dataset(*photos(200, 0)), dataset(*photos(50, 1))
    assert probe(maps, train, test, seed=1) == probe(maps, train, test, seed=1)
    masks = [Examples(train, test, seed).held_out for seed in (0, 0, 1)]
    assert masks[0].sum() == 40  # a fifth
    assert np.array_equal(masks[0], masks[1]) and not np.array_equal(masks[0], masks[2])


@PROBES
def test_progress_rises_to_its_total(probe: Any) -> None:
    told: list[tuple[int, int, str]] = []
    probe(maps, dataset(*photos(200, 0)), dataset(*photos(50, 1)), on_progress=lambda *told_now: told.append(told_now))
    done = [line[0] for line in told]
    assert done == sorted(done) and len(set(done)) > 5
    assert {line[1] for line in told} == {done[-1]} == {2 * 200 + 50}


def test_batches_of_any_size_give_the_same_answer() -> None:
    train, test = photos(200, 0, signal=0.4), photos(100, 1, signal=0.4)
    small, large = (linear_probe(maps, dataset(*train, size), dataset(*test, size)) for size in (33, 200))
    assert small["chosen"] == large["chosen"]
    assert small["value"] == pytest.approx(large["value"], abs=1)  # rounding may turn an example


def test_stops_at_features_that_are_not_finite() -> None:
    good = dataset(*photos(40, 0))
    with pytest.raises(UserError, match="finite"):
        linear_probe(lambda images: {"conv1": images / 0}, good, good)
