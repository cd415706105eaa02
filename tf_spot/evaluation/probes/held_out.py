"""A linear probe for choosing settings: fitted and tested on training photos alone, the test split stays unread."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tf_spot.data import Source
from tf_spot.evaluation.probes.probe import linear_probe
from tf_spot.features.pooling import Extractor
from tf_spot.progress import Progress

EVERY = 5  # one labelled training photo of so many is tested on


def held_out_probe(
    extract: Extractor,
    source: Source,
    *,
    num_values: int,
    seed: int = 0,
    batch_size: int = 64,
    on_progress: Progress | None = None,
) -> dict[str, Any]:
    """Probe `extract` with four fifths of the labelled training photos and test it on the others.

    Args:
        extract: images (batch, height, width, 3) to maps (batch, h, w, channels) by layer, for example a backbone.
        source: labelled photos; only the split "train" is read.
        num_values, seed, on_progress: see `linear_probe`.
        batch_size: images at a time.

    Returns:
        the metrics of `linear_probe`.
    """

    def examples(tested: bool) -> tf.data.Dataset:
        numbered = source.labelled("train", batch_size).unbatch().enumerate()
        chosen = numbered.filter(lambda number, _: (number % EVERY == 0) == tested)
        return chosen.map(lambda _, example: example).batch(batch_size)

    train_ds, test_ds = examples(False), examples(True)
    return linear_probe(extract, train_ds, test_ds, num_values=num_values, seed=seed, on_progress=on_progress)
