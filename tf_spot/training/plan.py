"""What a training is going to do, in numbers, announced as they become known."""

from __future__ import annotations

from collections.abc import Callable

import keras

from tf_spot.config import Config, NetworkConfig
from tf_spot.data.source import Source

Numbers = dict[str, str | int]
OnPlan = Callable[[Numbers], None]  # called with the numbers that are new


class Plan:
    """Announce numbers of a training, each of them once.

    Those of the configuration and the photos are known before training starts. The parameters of a network are counted
    on the model that is trained or loaded anyway, so the plan makes none of its own.

    Args:
        on_plan: None announces nothing.
    """

    def __init__(self, on_plan: OnPlan | None = None) -> None:
        self._on_plan = on_plan
        self._known: set[str] = set()

    def add(self, numbers: Numbers) -> None:
        """Announce those that are new."""
        new = {name: value for name, value in numbers.items() if name not in self._known}
        self._known |= new.keys()
        if new and self._on_plan:
            self._on_plan(new)

    def count(self, network: str, model: keras.Model) -> None:
        """Announce the parameters of a network: `autoencoder` or `discriminator`."""
        self.add({f"{network}_parameters": model.count_params()})


def plan_of(config: Config, source: Source) -> Numbers:
    """Return what is known before any network is made."""
    cells = config.data.image_size // 2**config.network.levels  # per side of an encoding
    numbers: Numbers = {
        "data": f"{source.name} ({source.spec})",
        "photos": source.count("unlabelled"),
        "preset": config.preset,
        "image_size": config.data.image_size,
        "cells": f"{cells} x {cells}",
        "batch_size": config.training.batch_size,
        "precision": config.training.precision,
        "autoencoder_steps": config.training.autoencoder_steps,
        "spotter_steps": config.training.spotter_steps,
    }
    return numbers | _given_weights(config.network)


def _given_weights(network: NetworkConfig) -> Numbers:
    """Return where the backbone's first weights come from, if they are not random."""
    if network.backbone_weights == "imagenet":
        return {"backbone_begins_with": f"{network.backbone} of ImageNet, learned with labels"}
    return {"backbone_begins_with": network.backbone} if network.begins_with_weights else {}
