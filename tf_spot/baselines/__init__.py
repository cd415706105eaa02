"""Other ways to learn features, each on the spotter's own backbone: what `tf-spot compare` sets beside it."""

from __future__ import annotations

import importlib
from typing import Any

# Tasks that train the backbone by gradient descent, by the file that holds them.
PRETEXTS = {
    "inpainting": "Inpainting",
    "context": "Context",
    "jigsaw": "Jigsaw",
    "rotation": "Rotation",
    "colorization": "Colorization",
    "simclr": "SimCLR",
    "supervised": "Supervised",
}
# Games that `tf_spot.train` plays, by what they change in the recipe.
GAMES: dict[str, dict[str, Any]] = {
    "spot": {},
    "gan": {"game.repair": "gan", "game.predict_mask": False, "game.repair_mask_loss": False, "game.kept_weight": 0.0},
}
METHODS = ("spot", "random", "autoencoder", "kmeans", "gan", *PRETEXTS)


def pretext_class(method: str) -> Any:
    """The `Pretext` of that name from `PRETEXTS`."""
    return getattr(importlib.import_module(f"tf_spot.baselines.{method}"), PRETEXTS[method])
