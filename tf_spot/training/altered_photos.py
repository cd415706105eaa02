"""Photos as the game alters them: decoded whole, decoded with the damage, repaired."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tf_spot.image_quality.copies import CopyQuality, copy_quality
from tf_spot.image_quality.dropped_cells import dropped_pixels
from tf_spot.models.gan import GAN
from tf_spot.models.spotter import ArtifactSpotter
from tf_spot.models.stations import Damaged

UNREPAIRED = "unrepaired"  # the damage, only decoded
REPAIRED = "repaired"  # the repair network in inference mode
TRAINING_MODE = "training mode"  # repaired, with the batch's own moments as in training


class AlteredPhotos(NamedTuple):
    """Images of one set of photos, and where their cells were dropped."""

    decoded: np.ndarray  # float32 (photos, height, width, 3) in [-1, 1]
    altered: dict[str, np.ndarray]  # by kind, each like `decoded`
    dropped: np.ndarray  # bool (photos, height, width)
    copies: CopyQuality  # of `decoded` as copies of the photos


def kinds_of(spotter: ArtifactSpotter) -> tuple[str, ...]:
    """Return the kinds of altered images that a spotter makes; none if no cell is dropped and repaired."""
    if isinstance(spotter, GAN) or not spotter.damage.drop_rate:
        return ()
    return (UNREPAIRED, REPAIRED, TRAINING_MODE) if spotter.repair.weights else (UNREPAIRED,)


def alter(
    spotter: ArtifactSpotter, photos: Iterable[tf.Tensor], kinds: Sequence[str], first_step: int = 0
) -> AlteredPhotos:
    """Decode photos, whole and altered.

    Args:
        spotter: trained or not.
        photos: batches, float32 (batch, height, width, 3) in [-1, 1].
        kinds: of altered images, some of `kinds_of`.
        first_step: whose cells are dropped in the first batch; those of the next step in the next one.
    """
    images: dict[str, list[np.ndarray]] = {name: [] for name in ("photos", "decoded", "dropped", *kinds)}
    for step, batch in enumerate(photos, start=first_step):
        damaged = spotter.damage_images(batch, tf.constant(step))
        images["photos"].append(np.asarray(batch))
        images["decoded"].append(damaged.decoded.numpy())
        images["dropped"].append(dropped_pixels(damaged.keep_mask.numpy(), batch.shape[1]))
        for kind in kinds:
            images[kind].append(_altered(spotter, damaged, kind, step).numpy())
    copies = copy_quality(zip(images.pop("photos"), images["decoded"], strict=True))
    joined = {name: np.concatenate(images.pop(name)) for name in list(images)}  # frees the batches as it goes
    return AlteredPhotos(joined.pop("decoded"), dropped=joined.pop("dropped"), altered=joined, copies=copies)


def _altered(spotter: ArtifactSpotter, damaged: Damaged, kind: str, step: int) -> tf.Tensor:
    if kind == UNREPAIRED:
        return spotter.autoencoder.decoder(damaged.damaged)
    training = kind == TRAINING_MODE
    return spotter.hide_damage(damaged.damaged, damaged.keep_mask, tf.constant(step), training, update_statistics=False)
