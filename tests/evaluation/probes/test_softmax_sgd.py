"""The linear probe by gradient descent: its schedule, its steps, its answer, and what it keeps in memory."""

from __future__ import annotations

import json
import os
import shutil
from collections import namedtuple
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from sklearn.linear_model import LogisticRegression

from tf_spot.cli import main
from tf_spot.config import preset
from tf_spot.data import load
from tf_spot.errors import UserError
from tf_spot.evaluation import evaluate_task, linear_probe
from tf_spot.evaluation.probes import softmax_sgd as sgd
from tf_spot.models.from_config import build_autoencoder, build_spotter
from tf_spot.runs.run import Run

CLASSES = 4


def dataset(features: np.ndarray, labels: np.ndarray) -> tf.data.Dataset:
    return tf.data.Dataset.from_tensor_slices((features, labels.astype(np.int32))).batch(64)


def clouds(count: int, seed: int, values: int = 16, apart: float = 0.7) -> tuple[np.ndarray, np.ndarray]:
    """Overlapping classes on scales and means that differ by value, as maps (count, 1, 1, values)."""
    centres = np.random.default_rng(9).normal(size=(CLASSES, values))
    numbers = np.random.default_rng(seed)
    labels = numbers.integers(0, CLASSES, count)
    features = apart * centres[labels] + numbers.normal(size=(count, values))
    features = features * np.linspace(0.1, 10, values) + np.linspace(-30, 30, values)
    return features.astype(np.float32)[:, None, None, :], labels


def maps(images: Any) -> dict[str, Any]:
    return {"values": images}


def test_the_rate_falls_at_the_published_shares() -> None:
    rates = [sgd.rate(step, 100) for step in range(100)]
    wanted = [0.1] * 8 + [0.01] * 32 + [0.002] * 30 + [0.0004] * 20 + [0.00008] * 10
    assert rates == wanted


def test_a_step_by_hand() -> None:
    """One value, two classes, two examples: batch norm makes them about -1 and 1, softmax starts at a half each."""
    features = np.float32([[2], [6]])
    size = 2 / np.sqrt(4 + sgd.EPSILON)
    zeros = tf.zeros((1, 2)), tf.zeros(2)
    state = sgd.State(*zeros, *zeros, tf.zeros(1), tf.zeros(1))
    first = sgd._step(state, features, np.int32([0, 1]), tf.constant(0.1))
    gradient = np.float32([[size / 2, -size / 2]])  # the mean of -size * (1/2 - 1) and size * 1/2, and its mirror
    np.testing.assert_allclose(first.weights, -0.19 * gradient, rtol=1e-5)  # Nesterov: (1 + 0.9) times the rate
    np.testing.assert_allclose(first.weights_velocity, -0.1 * gradient, rtol=1e-5)
    np.testing.assert_allclose(first.bias, [0, 0], atol=1e-7)
    np.testing.assert_allclose([first.mean[0], first.variance[0]], [0.025 * 4, 0.025 * 4], rtol=1e-5)
    # with both examples in one class its bias rises; weights that are there already decay
    heavy = state._replace(weights=tf.constant([[100.0, 100.0]]))
    second = sgd._step(heavy, features, np.int32([0, 0]), tf.constant(0.1))
    np.testing.assert_allclose(second.bias, [0.19 * 0.5, -0.19 * 0.5], rtol=1e-5)
    np.testing.assert_allclose(second.weights, 100 - 0.19 * sgd.DECAY * 100, rtol=1e-5)


def test_agrees_with_the_convex_solution() -> None:
    """scikit-learn's minimum of the same loss on standardised values; they may differ on one answer in fifty."""
    (train, labels), (test, asked) = clouds(1_000, 0), clouds(500, 1)
    train, test = train.reshape(1_000, -1), test.reshape(500, -1)
    ours = sgd.fit_softmax(train, labels, CLASSES, epochs=20)
    mean, std = train.mean(axis=0), train.std(axis=0)
    exact = LogisticRegression(C=1 / (len(train) * sgd.DECAY), max_iter=1_000).fit((train - mean) / std, labels)
    answers = ((test - ours.mean) @ ours.weights + ours.bias).argmax(axis=1)
    expected = exact.predict((test - mean) / std)
    assert 0.5 < (expected == asked).mean() < 0.95  # neither trivial nor hopeless
    assert (answers == expected).mean() >= 0.98


def test_agrees_with_the_ridge_within_three_points() -> None:
    train, test = dataset(*clouds(800, 0)), dataset(*clouds(400, 1))
    ridge = linear_probe(maps, train, test)
    ours = linear_probe(maps, train, test, solver="sgd", epochs=15)
    assert abs(ours["value"] - ridge["value"]) <= 3
    assert ours["chosen"] == {"values": sgd.DECAY} and ours["num_values"] == {"values": 16}
    again, other = (linear_probe(maps, train, test, solver="sgd", epochs=1, seed=seed) for seed in (0, 1))
    assert again == linear_probe(maps, train, test, solver="sgd", epochs=1, seed=0)
    assert again["by_layer"] != ours["by_layer"] and other["by_layer"] != again["by_layer"]


def test_shuffled_labels_give_chance() -> None:
    numbers = np.random.default_rng(2)
    train, test = ((features, numbers.permutation(labels)) for features, labels in (clouds(600, 0), clouds(600, 1)))
    chance = 100 / CLASSES
    value = linear_probe(maps, dataset(*train), dataset(*test), solver="sgd", epochs=10)["value"]
    assert abs(value - chance) <= 2 * np.sqrt(chance * (100 - chance) / 600)


def test_the_label_as_a_feature_gives_100() -> None:
    def answers(labels: np.ndarray) -> np.ndarray:
        return np.eye(CLASSES, dtype=np.float32)[labels][:, None, None, :]

    (_, train), (_, test) = clouds(300, 0), clouds(100, 1)
    result = linear_probe(maps, dataset(answers(train), train), dataset(answers(test), test), solver="sgd", epochs=5)
    assert result["value"] == 100 and result["stderr"] == 0


def test_pooling_is_a_switch() -> None:
    """Two pixels whose mean is 0 and whose larger one says the class."""

    def peaks(images: Any) -> dict[str, Any]:
        return {"peak": tf.concat([images, -images], axis=1)}

    train, test = (clouds(count, count)[1] // 2 for count in (300, 100))
    sets = [dataset((1.0 + labels)[:, None, None, None].astype(np.float32), labels) for labels in (train, test)]
    values = {kind: linear_probe(peaks, *sets, num_values=1, solver="sgd", epochs=10, pooling=kind)["value"]
              for kind in ("average", "max")}  # fmt: skip
    assert values["max"] > values["average"] + 20


def test_progress_rises_to_its_total_and_a_full_disk_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    told: list[tuple[int, int, str]] = []
    train, test = dataset(*clouds(200, 0)), dataset(*clouds(50, 1))
    linear_probe(maps, train, test, solver="sgd", epochs=4, on_progress=lambda *now: told.append(now))
    done = [line[0] for line in told]
    assert done == sorted(done) and {line[1] for line in told} == {done[-1]} == {2 * 200 + 50}
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**10, 0, 10**9))
    with pytest.raises(UserError, match=r"needs 2.0 GB in .* free: 1.0 GB; set TMPDIR"):
        sgd.feature_file(tmp_path / "x", 1_000_000, 500)


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="this system cannot reserve blocks")
def test_the_features_of_a_layer_take_their_room_at_once(tmp_path: Path) -> None:
    sgd.feature_file(tmp_path / "x", 1_000, 50)
    assert (tmp_path / "x").stat().st_blocks * 512 >= 200_000


def test_options_that_do_not_fit_are_told() -> None:
    train, test = dataset(*clouds(20, 0)), dataset(*clouds(20, 1))
    with pytest.raises(UserError, match="--solver must be ridge or sgd; received: adam"):
        linear_probe(maps, train, test, solver="adam")
    with pytest.raises(UserError, match="without epochs: leave out --epochs, or add --solver sgd"):
        linear_probe(maps, train, test, epochs=3)
    with pytest.raises(UserError, match="--epochs must be 1 or more; received: 0"):
        linear_probe(maps, train, test, solver="sgd", epochs=0)
    with pytest.raises(UserError, match="go with --task linear; received: --task knn"):
        evaluate_task("knn", backbone=None, autoencoder=None, source=None, solver="sgd")


@pytest.mark.slow
def test_from_the_command_line_it_is_a_result_of_its_own(tmp_path: Path) -> None:
    config = preset("tiny").replace(
        **{"data.image_size": 16, "network.width": 0.125, "network.fc_units": 8, "training.batch_size": 4}
    )
    run = Run.create(tmp_path / "run", config, {"spec": "x", "name": "x", "fingerprint": "0", "counts": {}})
    build_spotter(config, build_autoencoder(config)).save(run.model_path("spotter"))
    for stage in ("autoencoder", "spotter"):
        run.add_metrics({"stage": stage, "epoch": 1, "step": 1, "images_seen": 4, "seconds": 1.0})
    numbers = np.random.default_rng(0)
    for split, count in (("train", 60), ("test", 30)):
        for number in range(count):
            photo = numbers.integers(0, 100, (20, 20, 3), np.uint8)
            photo[..., number % 2] += 150
            folder = tmp_path / "photos" / split / "rg"[number % 2]
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(photo).save(folder / f"{number}.png")
    command = ["evaluate", str(run.path), "--data", f"folder:{tmp_path / 'photos'}", "--strategy", "none"]
    assert main([*command, "--task", "linear", "--solver", "sgd", "--epochs", "5", "--layers", "conv1,conv3"]) == 0
    result = json.loads((run.path / "results" / "linear-sgd-photos.json").read_text())
    assert result["task"] == result["rivals"]["pixels"]["task"] == "linear-sgd"
    assert list(result["by_layer"]) == ["conv1", "conv3"] and result["value"] > 90
    assert result["fingerprint"] == load(f"folder:{tmp_path / 'photos'}", image_size=16).fingerprint
    assert main([*command, "--task", "linear", "--epochs", "5"]) == 2
    assert main([*command, "--task", "knn", "--solver", "sgd"]) == 2
    assert [path.name for path in (run.path / "results").glob("*.*")] == ["linear-sgd-photos.json"]
    assert not (run.path / "results" / "parts").exists()
