"""What the tests of subcommands share: a recipe that trains in seconds, and stand-ins for what a subcommand calls."""

from __future__ import annotations

import json
from typing import Any

TINY = {
    "data.image_size": 16, "data.held_out_share": 0.2, "network.width": 0.125, "network.fc_units": 8,
    "game.history_batches": 2, "training.batch_size": 4, "training.autoencoder_steps": 2, "training.spotter_steps": 3,
    "training.steps_per_epoch": 2, "training.checkpoint_steps": 1,
    "training.deterministic": "false",  # it cannot be switched off again in this process
}  # fmt: skip
SETS = [word for name, value in TINY.items() for word in ("--set", f"{name}={value}")]


def last_line(text: str) -> dict[str, Any]:
    """What --json prints."""
    return json.loads(text.splitlines()[-1])


class Recorder:
    """Stands in for a function: keeps what it was called with, and returns `result`."""

    def __init__(self, result: object) -> None:
        self.result = result
        self.given: list[object] = []

    def __call__(self, *arguments: object, **named: object) -> object:
        self.given = [*arguments, *named.values()]
        return self.result

    def received(self, *values: object) -> bool:
        return all(any(type(value) is type(one) and value == one for one in self.given) for value in values)
