"""The smallest recipe that trains both stages, for the tests of tables of trainings."""

from __future__ import annotations

from typing import Any

TINY: dict[str, Any] = {
    "data.image_size": 16,
    "network.width": 0.125,
    "network.fc_units": 16,
    "game.history_batches": 2,
    "training.deterministic": False,  # it cannot be switched off again in this process
    "training.batch_size": 4,
    "training.autoencoder_steps": 2,
    "training.spotter_steps": 2,
    "training.checkpoint_steps": 2,
}
