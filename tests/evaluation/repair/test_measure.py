"""The task `repair` on networks that have learned nothing, with a critic that trains for a moment."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tests.support.evaluation_data import SIZE
from tests.training.test_altered_photos import untrained
from tf_spot.errors import UserError
from tf_spot.evaluation.repair import critic
from tf_spot.evaluation.repair.measure import BATCH, FIRST_STEP, measure_repair
from tf_spot.image_quality import dropped_cells
from tf_spot.image_quality.dropped_cells import dropped_pixels, dropped_psnr
from tf_spot.models.spotter import ArtifactSpotter

PHOTOS = np.random.default_rng(0).uniform(-1, 1, (70, SIZE, SIZE, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def spotter() -> ArtifactSpotter:
    return untrained()


def source(count: int = len(PHOTOS)) -> Any:
    return SimpleNamespace(
        name="noise",
        spec="folder:noise",
        count=lambda split: count,
        images=lambda split, batch: tf.data.Dataset.from_tensor_slices(PHOTOS[:count]).batch(batch),
    )


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(critic, "STEPS", 2)
    monkeypatch.setattr(dropped_cells, "PATCHES", 1_000)


def test_every_kind_is_measured_and_repaired_at_inference_is_the_headline(spotter: ArtifactSpotter) -> None:
    told: list[tuple[int, int, str]] = []
    found = measure_repair(spotter, source(), num_images=2_560, seed=3, on_progress=lambda *word: told.append(word))
    assert list(found["kinds"]) == ["unrepaired", "repaired", "training mode"]
    assert (found["value"], found["stderr"]) == tuple(
        found["kinds"]["repaired"][name] for name in ("critic_auc", "critic_stderr")
    )
    assert (found["task"], found["data"], found["seed"], found["test_images"]) == ("repair", "noise", 3, 70)
    assert found["critic"]["critics"] == 3
    assert found["critic"]["train_images"] == 49 and found["critic"]["test_images"] == 21
    assert len(found["kinds"]["repaired"]["critic_aucs"]) == 3
    assert found["metric"].endswith("repaired images") and set(found["autoencoder"]) == {"psnr", "laplacian_share"}
    assert 0 < found["patch_noise"] < found["kinds"]["repaired"]["patch_distance"]
    assert told[-1][0] == told[-1][1] and {text.split()[0] for *_, text in told} == {"repairing", "judging"}


def test_fewer_photos_are_the_first_ones_with_the_same_damage(spotter: ArtifactSpotter) -> None:
    corrupted = spotter.corrupt(tf.constant(PHOTOS[:BATCH]), FIRST_STEP)
    found = measure_repair(spotter, source(), num_images=20)
    assert found["test_images"] == 20
    expected = dropped_psnr(
        corrupted.repaired.numpy()[:20],
        corrupted.decoded.numpy()[:20],
        dropped_pixels(corrupted.keep_mask.numpy()[:20], SIZE),
    )
    assert found["kinds"]["repaired"]["psnr"] == pytest.approx(expected, abs=0.01)  # rounded to two decimals


def test_without_a_repair_network_there_are_unrepaired_images_alone() -> None:
    found = measure_repair(untrained(repair="none"), source(20), num_images=20)
    assert list(found["kinds"]) == ["unrepaired"] and found["metric"].endswith("unrepaired images")
    assert found["value"] == found["kinds"]["unrepaired"]["critic_auc"]


@pytest.mark.parametrize(
    ("changes", "count", "num_images", "says"),
    [
        ({"repair": "gan", "predict_mask": False}, 70, 70, "game.repair=gan generates whole images"),
        ({"drop_rate": 0.0}, 70, 70, "game.drop_rate=0 damages nothing"),
        ({}, 70, 9, "--num-images must be 10 or more; received: 9"),
        ({}, 9, 70, "needs 10 test photos or more; received 9 from folder:noise"),
    ],
)
def test_what_cannot_be_measured_is_refused(changes: dict[str, Any], count: int, num_images: int, says: str) -> None:
    with pytest.raises(UserError, match=says):
        measure_repair(untrained(**changes), source(count), num_images=num_images)
