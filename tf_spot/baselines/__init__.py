"""Competing ways to learn features, each on the spotter's own backbone: the methods of `tf-spot compare`."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from tf_spot.config import ABLATIONS

if TYPE_CHECKING:
    from tf_spot.baselines.pretext import Pretext

# Pretext tasks, which train the backbone by gradient descent: {method: class}. The method, its dashes as underscores,
# is the name of the module in this folder.
PRETEXTS = {
    "inpainting": "Inpainting",
    "context": "Context",
    "jigsaw": "Jigsaw",
    "rotation": "Rotation",
    "colorization": "Colorization",
    "split-brain": "SplitBrain",
    "counting": "Counting",
    "bigan": "BiGAN",
    "lci": "LimitedContext",
    "simclr": "SimCLR",
    "byol": "BYOL",
    "barlow-twins": "BarlowTwins",
    "exemplar": "Exemplar",
    "noise-as-targets": "NoiseAsTargets",
    "supervised": "Supervised",
}
# Adversarial methods, which `tf_spot.train` trains: {method: the config fields that it changes}.
GAMES: dict[str, dict[str, Any]] = {
    "spot": {},
    "gan": ABLATIONS["l"].changes | {"game.repair_mask_loss": False},
}
UNTRAINED = ("random", "kmeans")  # not trained by gradient descent
METHODS = ("spot", "random", "autoencoder", "kmeans", "gan", *PRETEXTS)


def pretext_class(method: str) -> type[Pretext]:
    """Return the `Pretext` subclass of a method in `PRETEXTS`."""
    # Imported by name: the list of methods must not load TensorFlow, as `tf-spot compare --help` prints it.
    module = importlib.import_module(f"tf_spot.baselines.{method.replace('-', '_')}")
    pretext: type[Pretext] = getattr(module, PRETEXTS[method])
    return pretext
