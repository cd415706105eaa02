"""A small recipe for the tests of `compare`: 16 pixels, a few hundred steps of four images."""

from __future__ import annotations

from typing import Any

from tests.support.tiny_recipe import TINY
from tf_spot.config import preset

SETTINGS: dict[str, Any] = TINY | {
    "data.held_out_share": 0.25,
    "training.autoencoder_steps": 100,
    "training.spotter_steps": 300,
    "training.steps_per_epoch": 3,
    "training.checkpoint_steps": 10,
    "training.picture_epochs": 10,
}
CONFIG = preset("tiny").replace(**SETTINGS)
