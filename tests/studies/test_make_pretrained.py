"""A run's backbone becomes a file of the package, with a card."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.evaluation_data import lights, untrained_run
from tf_spot.runs import cards
from tf_spot.runs.load import load_spotter
from tf_spot.runs.pretrained import load_pretrained

SCRIPT = runpy.run_path(str(Path(__file__).parents[2] / "studies" / "make_pretrained.py"))


def test_float16_only_if_every_layers_accuracy_stays() -> None:
    exact = {"conv1": 60.0, "conv5": 70.0}
    assert SCRIPT["choose_dtype"](exact, {"conv1": 60.1, "conv5": 69.9}) == "float16"
    assert SCRIPT["choose_dtype"](exact, {"conv1": 60.0, "conv5": 70.3}) == "float32"


@pytest.mark.slow
def test_the_card_says_what_the_weights_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cards, "FOLDER", tmp_path / "pretrained")
    run = untrained_run(tmp_path / "run")
    for split, count in (("train", 60), ("test", 12)):
        for number, (photo, label) in enumerate(zip(*lights(count, count), strict=True)):
            folder = tmp_path / "photos" / split / "rgb"[label]
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(photo).save(folder / f"{number}.png")
    card = SCRIPT["make"](run.path, "lights", f"folder:{tmp_path / 'photos'}", "CC0", ["three colours"], 100)
    assert card["licence"] == "CC0" and card["limits"][-1] == "three colours" and card["image_size"] == 16
    assert card["config"] == run.config.to_dict() and card["cost"]["spotter"]["images_seen"] == 4
    layers = {kind: card["figures"][kind]["by_layer"] for kind in ("float32", "float16")}
    assert list(layers["float32"]) == ["conv1", "conv2", "conv3", "conv4", "conv5"]
    assert layers["float32"]["conv1"] > 80 and card["figures"]["float32"]["test_images"] == 12
    assert card["dtype"] == SCRIPT["choose_dtype"](layers["float32"], layers["float16"])
    trained = load_spotter(run).backbone
    for ours, theirs in zip(load_pretrained("lights").get_weights(), trained.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2**-11, atol=1e-7)
