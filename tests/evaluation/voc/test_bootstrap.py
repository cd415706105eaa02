"""The standard error of a measure, beside a bootstrap written out."""

from __future__ import annotations

import numpy as np
import pytest

from tf_spot.evaluation.voc.bootstrap import RESAMPLES, standard_error
from tf_spot.evaluation.voc.metrics import mean_precision, multi_label_precisions


def by_hand(measure, count: int, seed: int) -> float:
    numbers = np.random.default_rng(seed)
    again = [measure(numbers.integers(count, size=count)) for _ in range(RESAMPLES)]
    return float(np.nanstd(again, ddof=1))


@pytest.mark.parametrize("seed", [0, 1])
def test_agrees_with_resampling_by_hand(seed: int) -> None:
    """To the last digit: the same photos are drawn. Where SciPy draws otherwise, a tenth is the error of 100 draws."""
    numbers = np.random.default_rng(5)
    labels = np.where(numbers.random((80, 3)) < 0.3, 1, -1)
    scores = numbers.normal(size=(80, 3)) + 0.5 * labels

    def measure(photos: np.ndarray) -> float:
        return mean_precision(multi_label_precisions(scores[photos], labels[photos])).points

    ours = standard_error(measure, 80, seed)
    assert ours == pytest.approx(by_hand(measure, 80, seed), rel=1e-12)
    assert 0.01 < ours < 0.1


def test_is_the_standard_error_of_a_mean() -> None:
    values = np.random.default_rng(0).normal(size=400)
    error = standard_error(lambda photos: float(values[photos].mean()), 400, seed=0)
    assert error == pytest.approx(values.std() / 20, rel=0.25)  # 100 samples know a deviation to 7 %


def test_samples_without_the_measure_are_left_out_and_one_photo_has_no_error() -> None:
    def measure(photos: np.ndarray) -> float:
        return np.nan if 0 in photos else float(photos.mean())

    assert 0 < standard_error(measure, 4, seed=0) < 1
    assert standard_error(measure, 1, seed=0) == 0
