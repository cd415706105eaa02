"""The closed form of the linear probe."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler

from tf_spot.features import ridge as linear
from tf_spot.features.ridge import RidgeSums, choose_strength


def examples(count: int, values: int, num_classes: int = 3, spread: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Classes about centres one apart; values of very different means and scales, as layers have them."""
    random = np.random.default_rng(0)
    classes = random.integers(0, num_classes, count)
    features = random.normal(size=(num_classes, values))[classes] + spread * random.normal(size=(count, values))
    features = features * random.uniform(0.1, 10, values) + random.uniform(-30, 30, values)
    return features.astype(np.float32), classes


def summed(features: np.ndarray, classes: np.ndarray, batch: int = 32) -> RidgeSums:
    sums = RidgeSums(classes.max() + 1)
    for start in range(0, len(features), batch):
        sums.add(features[start : start + batch], classes[start : start + batch])
    return sums


@pytest.mark.parametrize("strength", [1e-3, 1e-1, 1e1])
@pytest.mark.parametrize("values", [20, 300], ids=["more examples", "more values"])
def test_agrees_with_scikit_learn(values: int, strength: float) -> None:
    features, classes = examples(150, values)
    classifier = summed(features, classes).solve(strength)
    scaler = StandardScaler().fit(features.astype(np.float64))
    ridge = Ridge(alpha=strength * len(features)).fit(scaler.transform(features), 2 * np.eye(3)[classes] - 1)
    others, _ = examples(40, values)
    found = (others - classifier.mean) @ classifier.weights + classifier.bias
    expected = ridge.predict(scaler.transform(others))
    # float32 keeps about 1e-7, of which the condition number, at most values / strength, may take its share
    worst = np.finfo(np.float32).eps * max(values / strength, 100) * np.abs(expected).max()
    np.testing.assert_allclose(found, expected, rtol=0, atol=worst)


def test_sums_in_batches_are_the_sums_of_all() -> None:
    features, classes = examples(100, 30)
    one, many = summed(features, classes, batch=100).solve(0.1), summed(features, classes, batch=7).solve(0.1)
    np.testing.assert_allclose(many.weights, one.weights, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(many.mean, one.mean, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(many.bias, one.bias)


def test_values_that_never_vary_count_for_nothing() -> None:
    features, classes = examples(100, 10)
    wider = np.concatenate([features, np.full((100, 1), 123.456, np.float32), np.zeros((100, 1), np.float32)], axis=1)
    classifier = summed(wider, classes).solve(0.1)
    assert np.all(classifier.weights[-2:] == 0)
    np.testing.assert_allclose(classifier.weights[:-2], summed(features, classes).solve(0.1).weights, rtol=1e-4)


def test_correct_counts_the_highest_score() -> None:
    classifier = linear.Classifier(np.float32([1, 0]), np.float32([[1, -1], [0, 0]]), np.float32([0, 0.5]))
    # scores: (1, -0.5), (-1, 1.5), (0, 0.5)
    assert classifier.correct(np.float32([[2, 9], [0, 9], [1, 9]]), np.array([0, 1, 0])) == 2


@pytest.mark.parametrize(("spread", "values", "at_least", "at_most"), [(30.0, 400, 1.0, 1e4), (0.01, 5, 1e-4, 1e4)])
def test_choice_goes_on_past_the_ends(spread: float, values: int, at_least: float, at_most: float) -> None:
    features, classes = examples(200, values, spread=spread)
    strength, _ = choose_strength(summed(features[:120], classes[:120]), features[120:], classes[120:])
    assert at_least <= strength <= at_most


def test_choice_takes_the_largest_of_equals_up_to_the_limit() -> None:
    # One value that is the class: right at every strength.
    classes = np.arange(40) % 2
    features = classes[:, None].astype(np.float32)
    assert choose_strength(summed(features, classes), features, classes) == (linear.LIMITS[1], 40)


def test_choice_is_the_best_on_the_held_out_part() -> None:
    features, classes = examples(160, 60, spread=4.0)
    sums, held, answers = summed(features[:80], classes[:80]), features[80:], classes[80:]
    chosen, right = choose_strength(sums, held, answers)
    assert right == sums.solve(chosen).correct(held, answers)
    for neighbour in (chosen / linear.STEP, chosen * linear.STEP):
        assert sums.solve(chosen).correct(held, answers) >= sums.solve(neighbour).correct(held, answers)


def test_choice_leaves_out_strengths_that_break_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    features, classes = examples(30, 200)
    broken = RidgeSums.solve

    def solve(sums: RidgeSums, strength: float) -> linear.Classifier:
        if strength < 1:
            raise np.linalg.LinAlgError
        return broken(sums, strength)

    monkeypatch.setattr(RidgeSums, "solve", solve)
    assert choose_strength(summed(features, classes), features, classes)[0] >= 1
