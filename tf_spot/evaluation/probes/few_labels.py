"""The linear probe for few labels: ridge regression solved over the examples, where these are fewer than the values."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.kernel_ridge import KernelRidge

from tf_spot.evaluation.probes.examples import HELD_OUT_EVERY
from tf_spot.features.ridge import Classifier

STRENGTHS = tuple(10.0**power for power in range(-4, 5))  # shares of the Gram matrix's mean diagonal


def few_labels(features: np.ndarray, classes: np.ndarray, seed: int = 0) -> Classifier:
    """Return the ridge regression of `ridge.RidgeSums`, its strength chosen on a fifth of the examples.

    Args:
        features: float32 (examples, values).
        classes: (examples,), 0, 1, ...
        seed: draws the fifth of the examples that chooses the strength.
    """
    num_classes = int(classes.max()) + 1
    held_out = np.zeros(len(classes), bool)
    held_out[np.random.default_rng(seed).permutation(len(classes))[::HELD_OUT_EVERY]] = True
    fits = ridge_over_examples(features[~held_out], classes[~held_out], num_classes, STRENGTHS)
    right = [fit.correct(features[held_out], classes[held_out]) for fit in fits]
    best = max(range(len(STRENGTHS)), key=lambda index: (right[index], index))  # of equals the largest
    return ridge_over_examples(features, classes, num_classes, STRENGTHS[best : best + 1])[0]


def ridge_over_examples(
    features: np.ndarray, classes: np.ndarray, num_classes: int, strengths: Sequence[float]
) -> list[Classifier]:
    """Return one classifier per strength: weights = X' (X X' + strength * examples)^-1 Y.

    X are the standardised features, Y is +1 for the class and -1 for the others, less its mean.

    Args:
        features: float32 (examples, values).
        classes: (examples,), 0 ... num_classes - 1.
        num_classes: how many there are.
        strengths: of the penalty, as in `ridge.RidgeSums.solve`.
    """
    mean, deviation = features.mean(axis=0), features.std(axis=0)  # float32 (values,)
    varies = deviation > 1e-3 * np.sqrt(deviation**2 + mean**2)  # the rest is rounding, as in `ridge`
    scale = np.where(varies, 1 / np.where(varies, deviation, 1), 0).astype(np.float32)
    x = ((features - mean) * scale).astype(np.float64)  # (examples, values)
    y = 2 * np.eye(num_classes)[classes] - 1  # (examples, classes)
    bias = y.mean(axis=0)
    kernel = x @ x.T  # (examples, examples), once for all strengths
    fits = []
    for strength in strengths:
        dual = KernelRidge(alpha=strength * len(x), kernel="precomputed").fit(kernel, y - bias).dual_coef_
        weights = scale[:, None] * (x.T @ dual)  # (values, classes), of features that are not scaled
        fits.append(Classifier(mean, weights.astype(np.float32), bias.astype(np.float32)))
    return fits
