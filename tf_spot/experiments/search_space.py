"""What a search may vary: fields of the configuration, by the names that `--space` takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from tf_spot.config import Config


class Range(NamedTuple):
    """An interval that oracles other than the grid draw from."""

    low: float
    high: float
    sampling: str  # "linear" or "log"


class Field(NamedTuple):
    """The values that a field takes in a search."""

    grid: list[Any]
    between: Range | None = None  # None: oracles other than the grid choose from the same values


SPACES: dict[str, dict[str, Field]] = {
    # The paper's rates. Source: paper, Table 1.
    "drop_rate": {"game.drop_rate": Field([0.1, 0.3, 0.5, 0.7, 0.9], Range(0.1, 0.9, "linear"))},
    "mask_weight": {"game.mask_weight": Field([0.1, 0.3, 1.0, 3.0], Range(0.03, 3.0, "log"))},
    "adversarial_loss": {"game.adversarial_loss": Field(["nonsaturating", "minimax", "confusion"])},
    "learning_rates": {
        "training.discriminator_learning_rate": Field([3e-4, 1e-3], Range(1e-4, 3e-3, "log")),
        "training.repair_learning_rate": Field([1e-4, 3e-4, 1e-3], Range(1e-5, 3e-3, "log")),
    },
    "width": {"network.width": Field([0.25, 0.5, 1.0])},
}
ORACLES = ("grid", "random", "bayesian", "hyperband")
OBJECTIVES = {  # name: (unit, description)
    "probe": ("percent", "best layer's linear probe, fitted to four fifths of the training labels, on the other fifth"),
    "mask_auc": ("area", "the mask head against the true keep mask, on held-out photos"),
}


def recipe(config: Config, values: Mapping[str, Any], seed: int) -> Config:
    """Return `config` with a trial's values; Hyperband's own value gives the number of epochs."""
    changes = rounded(values)
    epochs = changes.get("tuner/epochs")
    # Keras Tuner adds values of its own, such as "tuner/bracket", to those of the space.
    changes = {name: value for name, value in changes.items() if not name.startswith("tuner/")}
    if epochs:
        changes["training.spotter_steps"] = epochs * config.training.steps_per_epoch
    return config.replace(**changes, **{"training.seed": seed})


def rounded(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a trial's values with six decimals: 0.3 instead of 0.30000000000000004."""
    return {name: round(value, 6) if isinstance(value, float) else value for name, value in values.items()}
