"""A task beside its rivals, on networks as they are."""

from __future__ import annotations

import json
import shutil
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tf_spot.data.split import Batch
from tf_spot.errors import UserError
from tf_spot.evaluation import TASKS, evaluate_task, format_table
from tf_spot.evaluation.beside_controls import rival_extractors
from tf_spot.evaluation.probes.examples import decoded_once
from tf_spot.evaluation.result_cache import Parts
from tf_spot.features.pooling import Pooling
from tf_spot.models.autoencoder import Autoencoder
from tf_spot.models.backbones import AlexNet

SIZE = 16
CLASSES = 3


class Stripes:
    """A source of noisy stripes; the class is how far they lean to red, green or blue."""

    name, spec = "stripes", "made:stripes"
    has_labels, has_test = True, True
    image_size = SIZE

    def count(self, split: str) -> int:
        return {"train": 60, "test": 30}[split]

    def labelled(self, split: str, batch_size: int) -> tf.data.Dataset:
        random = np.random.default_rng(["train", "test"].index(split))
        count = self.count(split)
        labels = np.arange(count, dtype=np.int32) % CLASSES
        images = random.uniform(-1, 1, (count, SIZE, SIZE, 3)).astype(np.float32)
        images[np.arange(count), ::2, :, labels] = 1
        return tf.data.Dataset.from_tensor_slices((images, labels)).batch(batch_size)

    def in_any_order(self, split: str, batch_size: int) -> Iterator[Batch]:
        start = self.count(split)
        for images, labels in reversed(list(self.labelled(split, batch_size).as_numpy_iterator())):
            start -= len(labels)
            yield Batch(images, labels, np.arange(start, start + len(labels)))


@pytest.fixture(scope="module")
def networks() -> dict[str, Any]:
    backbone = AlexNet(
        width=0.1, stem_kernel=5, stem_stride=1, trunk_norm="batch", norm_momentum=0.975, norm_epsilon=1e-3
    )
    return {"backbone": backbone, "autoencoder": Autoencoder(image_size=SIZE, width=0.25, levels=2)}


@pytest.fixture(scope="module", params=sorted(TASKS))
def result(request: pytest.FixtureRequest, networks: dict[str, Any]) -> dict[str, Any]:
    return evaluate_task(request.param, source=Stripes(), num_values=200, batch_size=16, **networks)


def test_figures_are_complete_and_can_be_written(result: dict[str, Any]) -> None:
    layers = [f"conv{i}" for i in range(1, 6)]
    assert json.loads(json.dumps(result)) == result
    assert {name: result[name] for name in ("method", "data", "metric", "unit", "train_images", "test_images")} == {
        "method": "spot", "data": "stripes", "metric": "accuracy", "unit": "percent", "train_images": 60,
        "test_images": 30,
    }  # fmt: skip
    assert list(result["by_layer"]) == list(result["chosen"]) == list(result["num_values"]) == layers
    assert result["value"] == max(result["by_layer"].values())
    assert list(result["rivals"]) == ["random", "encoding", "pixels"]
    assert list(result["rivals"]["random"]["by_layer"]) == layers
    for name in ("encoding", "pixels"):
        assert result["rivals"][name]["by_layer"] == {name: result["rivals"][name]["value"]}
    assert result["rivals"]["pixels"]["num_values"] == {"pixels": 8 * 8 * 3}
    assert result["rivals"]["pixels"]["value"] > 90  # the class is a colour


def test_table_shows_every_figure_and_the_lead(result: dict[str, Any]) -> None:
    says, head, spot, random, lead, encoding, pixels = format_table(result).splitlines()
    assert says.startswith(f"{result['task']} on stripes: accuracy in percent, standard error")
    assert "60 training and 30 test images" in says
    assert head.split() == ["conv1", "conv2", "conv3", "conv4", "conv5", "best"]
    shown = {line.split()[0]: line.split()[1:] for line in (spot, random, encoding, pixels)}
    assert shown["spot"] == [f"{v:.1f}" for v in [*result["by_layer"].values(), result["value"]]]
    assert shown["random"][-1] == f"{result['rivals']['random']['value']:.1f}"
    assert shown["encoding"] == [f"{result['rivals']['encoding']['value']:.1f}"]
    expected = result["by_layer"]["conv2"] - result["rivals"]["random"]["by_layer"]["conv2"]
    assert lead.split()[3:][1] == f"{expected:+.1f}"
    assert len({len(line) for line in (head, spot, random, lead, encoding, pixels)}) == 1  # columns stand straight


def test_random_rival_has_the_architecture_but_other_weights(networks: dict[str, Any]) -> None:
    backbone = networks["backbone"]
    draws = [rival_extractors(**networks, pooling=Pooling(), seed=seed)["random"] for seed in (0, 0, 1)]
    first, again, other = ([v.numpy() for v in draw.variables] for draw in draws)
    assert [v.shape for v in first] == [tuple(v.shape) for v in backbone.variables]
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert any(not np.array_equal(a, b) for a, b in zip(first, other, strict=True))
    assert not np.array_equal(other[0], backbone.variables[0].numpy())  # made after seed 0, as every test is


def test_encoding_and_pixels_are_what_they_are_called(networks: dict[str, Any]) -> None:
    images = tf.random.uniform((2, SIZE, SIZE, 3), -1, 1)
    maps = rival_extractors(**networks, pooling=Pooling(192), seed=0)["others"](images)
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
    """The spotter's scores are kept when the probe of its rival is stopped; the figures are those of one go."""

    def stop_at_random(done: int, total: int, text: str) -> None:
        if "random" in text:
            raise KeyboardInterrupt

    words = {"source": Stripes(), "num_values": 50, "layers": ["conv2", "conv5"]} | networks
    with pytest.raises(KeyboardInterrupt):
        evaluate_task("linear", parts=Parts(tmp_path, {}), on_progress=stop_at_random, **words)
    told: list[tuple[int, int, str]] = []
    parts = Parts(tmp_path, {})
    found = evaluate_task("linear", parts=parts, on_progress=lambda *line: told.append(line), **words)
    assert parts.resumed == 1 and found == evaluate_task("linear", **words)
    assert [line[2] for line in told].count("probing spot") == 1, "told that it is there, nothing more"
    assert told[-1][0] == told[-1][1]


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


class CountedStripes(Stripes):
    """Counts the images that are made."""

    made = 0

    def labelled(self, split: str, batch_size: int) -> tf.data.Dataset:
        def count(images: np.ndarray) -> np.ndarray:
            self.made += len(images)
            return images

        batches = super().labelled(split, batch_size)
        return batches.map(lambda images, labels: (tf.numpy_function(count, [images], tf.float32), labels))


@pytest.mark.parametrize(("room", "times"), [(1e12, 1), (90 * SIZE**2 * 3 * 4 * 2, 3)])
def test_photos_are_decoded_once_where_there_is_room(
    room: float, times: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: types.SimpleNamespace(free=room))
    source = CountedStripes()
    with decoded_once(source, 16) as datasets:
        for split, dataset in zip(("train", "test"), datasets, strict=True):
            for _ in range(3):
                for found, wanted in zip(dataset, Stripes().labelled(split, 16), strict=True):
                    np.testing.assert_array_equal(found[0], wanted[0])
                    np.testing.assert_array_equal(found[1], wanted[1])
        assert source.made == 90 * times
    assert not list(tmp_path.glob("tf_spot-*"))
