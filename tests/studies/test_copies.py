"""The table of runs whose autoencoders copy differently well."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

from tf_spot.config import LAYERS, preset

STUDY = runpy.run_path(str(Path(__file__).parents[2] / "studies" / "copies.py"))


def run(steps: int, psnr: float, auc: float) -> dict[str, Any]:
    kind = {"critic_auc": auc, "critic_stderr": 0.01, "patch_distance": 0.02, "brightness_shift": -0.5}
    return {
        "data": "photos",
        "config": preset("tiny").replace(**{"training.autoencoder_steps": steps}).to_dict(),
        "autoencoder": {"psnr": psnr, "laplacian_share": 0.4},
        "kinds": {"unrepaired": kind | {"critic_auc": 0.96}, "repaired": kind},
        "probe": {"by_layer": dict.fromkeys(LAYERS, 60.0), "stderr": 0.8},
    }


def test_the_run_that_copies_best_stands_last() -> None:
    runs = [run(8_000, 25.2, 0.81), run(500, 22.6, 0.6)]
    head, *_, first, last, errors, _ = STUDY["table"]({"runs": runs}).splitlines()
    assert head == "photos, 32 pixels, batches of 64"
    assert first.split() == ["500", "22.6", "40%", "1,600", "0.960", "0.600", "0.020", *["60.0"] * 5]
    assert last.split()[:2] == ["8,000", "25.2"]
    assert errors.startswith("standard errors: 0.010 of the AUC, 0.8 of the probe")
