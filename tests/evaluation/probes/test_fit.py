"""Fitting a probe on every layer at once."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import tensorflow as tf

from tf_spot.evaluation.probes.examples import Examples
from tf_spot.evaluation.probes.fit import fit_sgd
from tf_spot.evaluation.work_progress import WorkProgress
from tf_spot.features.pooling import Pooling

CLASSES = 4


def dataset(features: np.ndarray, labels: np.ndarray) -> tf.data.Dataset:
    return tf.data.Dataset.from_tensor_slices((features, labels.astype(np.int32))).batch(64)


def test_memory_does_not_hold_the_features() -> None:
    """Two layers of 1,000 x 4,096 values are 33 MB; a third of one layer is never held at once."""
    numbers, labels = np.random.default_rng(0), np.arange(1_000) % CLASSES
    images = numbers.normal(size=(1_000, 1, 1, 8)).astype(np.float32)

    def wide(batch: Any) -> dict[str, Any]:
        return {name: tf.tile(batch, (1, 1, 1, 512)) for name in ("a", "b")}

    examples = Examples(dataset(images, labels), dataset(images[:100], labels[:100]))
    tracemalloc.start()
    scores = fit_sgd(wide, None, examples, Pooling(), WorkProgress(None), epochs=1)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert {score.num_values for score in scores.values()} == {4_096}
    assert peak < 4 * 1_000 * 4_096 / 3
