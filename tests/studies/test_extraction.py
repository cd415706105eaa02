"""The script that measures the extraction of features beside the backbone's own rate."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tf_spot.config import preset
from tf_spot.models.from_config import build_autoencoder, build_spotter
from tf_spot.runs.run import Run

SCRIPT = runpy.run_path(str(Path(__file__).parents[2] / "studies" / "extraction.py"))


@pytest.mark.slow
def test_rates_are_those_of_the_same_batch_and_the_whole_is_the_slower(tmp_path: Path) -> None:
    config = preset("tiny").replace(
        **{"data.image_size": 16, "network.width": 0.125, "network.fc_units": 8, "training.batch_size": 4}
    )
    run = Run.create(tmp_path / "run", config, {"spec": "x", "name": "x", "fingerprint": "0", "counts": {}})
    build_spotter(config, build_autoencoder(config)).save(run.model_path("spotter"))
    photo = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8))
    for split, count in (("train", 20), ("test", 70)):
        for number in range(count):
            folder = tmp_path / "photos" / split / "ab"[number % 2]
            folder.mkdir(parents=True, exist_ok=True)
            photo.save(folder / f"{number}.png")
    found = SCRIPT["measure"](run.path, f"folder:{tmp_path / 'photos'}", turns=3)
    assert (found["data"], found["image_size"], found["photos"]) == ("photos", 16, 70)
    assert set(found["rates"]) == {"forward", "extraction", "whole", "backbone", "embed"}
    assert all(len(rates) == 3 and min(rates) > 0 for rates in found["turns"].values())
    assert found["rates"]["whole"] < found["rates"]["extraction"]  # the same and the decoding
    shares = [e / f for e, f in zip(found["turns"]["whole"], found["turns"]["forward"], strict=True)]
    assert found["shares"]["whole"] == pytest.approx(np.median(shares), abs=1e-2)
    assert set(found["shares"]) == {"extraction", "whole", "embed"}
    assert "networks alone" in SCRIPT["table"](found) and "tf-spot embed" in SCRIPT["table"](found)
