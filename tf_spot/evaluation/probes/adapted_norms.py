"""Frozen features whose batch norm has the moments of the photos at hand.

In pre-training half of what batch norm saw were repaired images, and a network at random weights has the moments that
every new network has. Neither describes photos; random weights above all look worse than they are.
"""

from __future__ import annotations

import numpy as np

from tf_spot.errors import UserError
from tf_spot.evaluation.beside_random import copied
from tf_spot.evaluation.probes.examples import Examples
from tf_spot.models.backbones import Backbone
from tf_spot.models.data_dependent_init import take_moments

PHOTOS = (
    512  # at most: they pass the network in one batch, and a channel's mean is known to a few percent of its spread
)


def adapted(backbone: Backbone, images: np.ndarray) -> Backbone:
    """Return a copy of a backbone whose batch norms have the moments of some images; no weight is changed.

    Args:
        backbone: with batch norm.
        images: float32 (batch, height, width, 3) in [-1, 1].

    Raises:
        UserError: a backbone without batch norm.

    Source: authors' code, whose batch norm adapts to the labelled photos while a classifier is trained.
    """
    if not any(norm is not None for norm in backbone.norms):
        raise UserError(
            f"--norms adapt wants a backbone with batch norm; received: {type(backbone).__name__} without; leave it out"
        )
    copy = copied(backbone)
    take_moments(copy, images)
    return copy


def spread_photos(examples: Examples) -> np.ndarray:
    """Return at most `PHOTOS` training images, spread evenly over the set: photos of a class often lie together.

    Returns:
        float32 (photos, height, width, 3) in [-1, 1].
    """
    count = len(examples.train_classes)
    chosen = np.unique(np.linspace(0, count - 1, min(PHOTOS, count)).round().astype(int))
    wanted = np.isin(np.arange(count), chosen)
    return np.concatenate([np.asarray(images)[wanted[rows]] for images, rows in examples.batches("train")])
