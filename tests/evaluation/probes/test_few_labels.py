"""The linear probe for few labels."""

from __future__ import annotations

import numpy as np

from tf_spot.evaluation.probes.few_labels import few_labels, ridge_over_examples
from tf_spot.features.ridge import RidgeSums


def test_ridge_over_examples_is_the_ridge_over_values() -> None:
    numbers = np.random.default_rng(0)
    classes = numbers.integers(0, 3, 40)
    features = (numbers.normal(size=(3, 60))[classes] + numbers.normal(size=(40, 60))) * numbers.uniform(0.1, 9, 60) + 5
    features = np.hstack([features, np.full((40, 1), 7.7)]).astype(np.float32)
    sums = RidgeSums(3)
    sums.add(features, classes)
    for strength, ours in zip((0.1, 10.0), ridge_over_examples(features, classes, 3, (0.1, 10.0)), strict=True):
        theirs = sums.solve(strength)
        np.testing.assert_allclose(ours.weights, theirs.weights, atol=1e-4)
        np.testing.assert_allclose(ours.bias, theirs.bias, atol=1e-6)


def test_few_labels_choose_a_strength_that_helps() -> None:
    numbers = np.random.default_rng(1)
    classes = np.arange(600) % 3
    features = (numbers.normal(size=(3, 400))[classes] * 0.2 + numbers.normal(size=(600, 400))).astype(np.float32)
    train, test = slice(0, 100), slice(100, None)
    chosen = few_labels(features[train], classes[train]).correct(features[test], classes[test]) / 500
    fits = ridge_over_examples(features[train], classes[train], 3, (1e-4, 1e4))
    ends = [fit.correct(features[test], classes[test]) / 500 for fit in fits]
    assert chosen > min(ends) and chosen > max(ends) - 0.05
    shuffled = numbers.permutation(classes)
    chance = few_labels(features[train], shuffled[train]).correct(features[test], shuffled[test]) / 500
    assert abs(chance - 1 / 3) < 2 * np.sqrt(2 / 9 / 500)
