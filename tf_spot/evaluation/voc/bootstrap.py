"""The standard error of a measure over photos, by resampling the photos."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
from scipy import stats

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
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)  # of the interval, which is not used
        drawn = stats.bootstrap(
            (np.arange(photos),),
            measure,
            n_resamples=RESAMPLES,
            vectorized=False,
            method="percentile",  # of the interval too: the default method takes a jackknife besides
            rng=np.random.default_rng(seed),
        )
    # Not its own `standard_error`, which is NaN if the measure of one sample is.
    return float(np.nanstd(drawn.bootstrap_distribution, ddof=1))
