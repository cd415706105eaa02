"""Ridge regression to classes, in closed form, from sums that grow by a batch at a time: the linear probe.

Features never need to fit in memory together, as scikit-learn's ridge wants them; a layer costs one float32 matrix of
values x values, and another one while it is solved.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import linalg
from scipy.linalg import blas

START = (1e-2, 1e-1, 1e0)  # strengths tried first, as shares of the Gram matrix's mean diagonal
STEP = 10.0  # between neighbours
LIMITS = (1e-4, 1e4)  # below, rounding to float32 outweighs the strength


class Classifier(NamedTuple):
    """Class scores are (features - mean) @ weights + bias."""

    mean: np.ndarray  # (values,)
    weights: np.ndarray  # (values, classes)
    bias: np.ndarray  # (classes,)

    def correct(self, features: np.ndarray, classes: np.ndarray) -> int:
        """Count the `features` (examples, values) that score highest in their class, `classes` (examples,)."""
        scores = (features - self.mean) @ self.weights + self.bias  # (examples, classes)
        return int(np.count_nonzero(scores.argmax(axis=1) == classes))


class RidgeSums:
    """Sufficient statistics of ridge regression: sums of features, by class and by pair of features.

    Sums are of features less the first batch's mean. That leaves about the spread, so the products lose little in
    float32, which is twice as fast and half as large as float64.

    Args:
        num_classes: classes are 0 ... num_classes - 1.
    """

    def __init__(self, num_classes: int) -> None:
        self.class_counts = np.zeros(num_classes)
        self.shift = np.zeros(0, np.float32)  # (values,)
        self.class_sums = np.zeros((num_classes, 0))  # (classes, values) float64
        self.products = np.zeros((0, 0), np.float32)  # (values, values), the lower triangle alone

    def add(self, features: np.ndarray, classes: np.ndarray) -> None:
        """Add float32 features (examples, values) of the classes (examples,)."""
        if not self.shift.size:
            values = features.shape[1]
            self.shift = features.mean(axis=0)
            self.class_sums = np.zeros((len(self.class_counts), values))
            self.products = np.zeros((values, values), np.float32, order="F")
        shifted = np.ascontiguousarray(features - self.shift)
        one_hot = np.eye(len(self.class_counts), dtype=np.float32)[classes]  # (examples, classes)
        self.class_counts += one_hot.sum(axis=0)
        self.class_sums += one_hot.T @ shifted
        self.products = blas.ssyrk(1.0, shifted.T, beta=1.0, c=self.products, lower=1, overwrite_c=1)

    def solve(self, strength: float) -> Classifier:
        """Return the regression of standardised features on +1 for their class and -1 for others, with an intercept.

        Args:
            strength: the penalty on the squared weights, as a share of the mean diagonal of the standardised features'
                Gram matrix (which is the number of examples), so that it means the same for every set.

        Raises:
            numpy.linalg.LinAlgError: the strength is too small for float32.
        """
        count = self.class_counts.sum()
        mean = self.class_sums.sum(axis=0) / count
        second = np.diagonal(self.products) / count
        variance = second - mean**2
        varies = variance > 1e-6 * second  # what is left is rounding
        inverse_std = np.where(varies, 1 / np.sqrt(np.where(varies, variance, 1)), 0)

        scale = inverse_std.astype(np.float32)
        gram = self.products * scale  # keeps the column order that BLAS works in place on
        gram *= scale[:, None]
        gram = blas.ssyr(-count, (mean * inverse_std).astype(np.float32), lower=1, a=gram, overwrite_a=1)
        gram[np.diag_indices_from(gram)] += strength * count
        targets = 2 * (self.class_sums - self.class_counts[:, None] * mean) * inverse_std  # (classes, values)
        factor = linalg.cho_factor(gram, lower=True, overwrite_a=True, check_finite=False)
        weights = linalg.cho_solve(factor, targets.T.astype(np.float32), check_finite=False)
        bias = 2 * self.class_counts / count - 1
        return Classifier(self.shift + mean.astype(np.float32), weights * scale[:, None], bias.astype(np.float32))


def choose_strength(sums: RidgeSums, features: np.ndarray, classes: np.ndarray) -> tuple[float, int]:
    """Return the strength that gets most of the held-out examples right, of equals the largest, and how many it does.

    Try `START`, then strengths beyond an end of those tried for as long as that end is the best.

    Args:
        sums: of the examples to fit.
        features, classes: the held-out ones, (examples, values) and (examples,).
    """
    correct: dict[float, int] = {}

    def attempt(strength: float) -> None:
        try:
            correct[strength] = sums.solve(strength).correct(features, classes)
        except np.linalg.LinAlgError:
            correct[strength] = -1

    for strength in START:
        attempt(strength)
    while True:
        best = max(correct, key=lambda strength: (correct[strength], strength))
        low, high = min(correct), max(correct)
        beyond = high * STEP if best == high else low / STEP if best == low else None
        if beyond is None or not LIMITS[0] <= beyond <= LIMITS[1]:
            return best, correct[best]
        attempt(beyond)
