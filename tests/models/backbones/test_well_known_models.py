"""ResNet-50, ConvNeXt-Tiny and a vision transformer: each trained a step, probed and exported."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import tf_spot
from tests.support.own_models import small_vit
from tests.support.small_backbones import MAPS
from tf_spot.config import preset
from tf_spot.evaluation.evaluate_run import evaluate_run
from tf_spot.exporters import verify

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning"),
]

CONFIG = preset("tiny").replace(
    **{
        "data.image_size": 32,
        "data.held_out_share": 0.25,
        "network.width": 1.0,
        "network.stem_stride": 4,
        "network.fc_units": 8,
        "game.history_batches": 2,
        "training.deterministic": False,  # it cannot be switched off again in this process
        "training.batch_size": 4,
        "training.autoencoder_steps": 1,
        "training.spotter_steps": 2,
        "training.steps_per_epoch": 2,
        "training.checkpoint_steps": 2,
    }
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Photos of one colour or another: 24 to learn from, 12 to test."""
    root, numbers = tmp_path_factory.mktemp("lights"), np.random.default_rng(0)
    for split, count in (("train", 24), ("test", 12)):
        for number in range(count):
            place = root / split / "rgb"[number % 3]
            place.mkdir(parents=True, exist_ok=True)
            photo = numbers.integers(0, 120, (8, 8, 3), np.uint8)
            photo[..., number % 3] += 120
            Image.fromarray(photo).resize((40, 40)).save(place / f"{number:02d}.png")
    return f"folder:{root}"


@pytest.mark.parametrize(("name", "format"), [("ResNet50", "saved_model"), ("ConvNeXtTiny", "onnx"), ("vit", "tflite")])
def test_it_is_trained_probed_and_exported(name: str, format: str, folder: str, tmp_path: Path) -> None:
    if name == "vit":
        spotter = tf_spot.train(CONFIG, folder, tmp_path / "run", backbone=small_vit())
    else:
        spotter = tf_spot.train(CONFIG.replace(**{"network.backbone": name}), folder, tmp_path / "run")
    found = evaluate_run(tmp_path / "run", folder, "knn", num_values=100)
    assert list(found["by_layer"]) == MAPS and found["by_layer"]["conv1"] > 50  # colours need no training
    export = getattr(tf_spot, f"export_{format}")
    manifest = export(spotter, tmp_path / "out")
    assert set(MAPS) < set(manifest["outputs"])
    assert verify(tmp_path / "out")["format"] == format
