"""The standard error of a measure over photos, by resampling the photos."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

RESAMPLES = 100


def standard_error(measure: Callable[[np.ndarray], float], photos: int, seed: int) -> float:
    """Return the bootstrap's standard error of a measure, 0 for a single photo.

    Args:
        measure: takes the indices of a sample of the photos, int64 (photos,), some more than once; NaN where a sample
            has none: it is left out.
        photos: how many there are.
        seed: of the samples.
    """
    if photos < 2:
        return 0.0
    numbers = np.random.default_rng(seed)
    drawn = [measure(numbers.integers(photos, size=photos)) for _ in range(RESAMPLES)]
    return float(np.nanstd(drawn, ddof=1))
