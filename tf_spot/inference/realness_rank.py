"""How real an image looks among photos that the training never saw.

The score alone says little of a photo: the "real" images of the training were autoencoded ones, and every photo is
sharper than those.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf

from tf_spot.data import load
from tf_spot.data.images import read_image
from tf_spot.errors import UserError
from tf_spot.inference.heat_map import repaired_probability, squeezed
from tf_spot.models.spotter import ArtifactSpotter
from tf_spot.runs.run import Run

PHOTOS = 512  # at most
BATCH = 64


@dataclass(frozen=True)
class RealnessRank:
    """Tells the rank of an image among photos that were held out of a training.

    Args:
        spotter: of the run.
        scores: float32 (photos,), the probability that each photo was repaired, in [0, 1].
    """

    spotter: ArtifactSpotter
    scores: np.ndarray

    def more_real_than(self, path: Path) -> float:
        """Return the share of the photos that look more repaired than the image in a file.

        Raises:
            BadImage: it cannot be read.
        """
        return float(np.mean(self.scores > self.score(path)))

    def score(self, path: Path) -> float:
        """Return the probability that the image in a file was repaired; it is read as the held-out photos are."""
        size = self.spotter.discriminator.image_size
        (score,) = repaired_probability(self.spotter, squeezed(read_image(path, size), size, size))
        return float(score)


def realness_rank(run: Run, spotter: ArtifactSpotter) -> RealnessRank | str:
    """Score a run's held-out photos, read again from the spec in its record, to rank images among them.

    Args:
        run: whose photos.
        spotter: of the run.

    Returns:
        what tells the rank, or the reason why there is none.
    """
    config = run.config.data
    try:
        source = load(run.data["spec"], image_size=config.image_size, config=config)
    except UserError as error:
        return f"the photos of this run cannot be found from here: {error}"
    if source.fingerprint != run.data["fingerprint"]:
        return "the photos of this run have changed since its training, so that those it never saw are not known"
    if not source.count("held_out"):
        return "this run held no photos out of its training"
    # Every n-th photo: photos of a class lie together, so all classes are among them.
    stride = max(1, -(-source.count("held_out") // PHOTOS))
    photos = source.decoded("held_out").shard(stride, 0).as_numpy_iterator()
    images = [squeezed(photo, config.image_size, config.image_size) for photo, _ in photos]
    if not images:
        return "the held-out photos of this run can no longer be read"
    batches = (tf.concat(images[first : first + BATCH], axis=0) for first in range(0, len(images), BATCH))
    return RealnessRank(spotter, np.concatenate([repaired_probability(spotter, batch) for batch in batches]))
