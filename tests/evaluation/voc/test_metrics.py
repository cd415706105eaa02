"""VOC's measures on worked cases."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from tf_spot.evaluation.voc.metrics import (
    IGNORED,
    RIGHT,
    WRONG,
    average_precision,
    confusion,
    detection_precision,
    judge,
    mean_precision,
    multi_label_precisions,
    overlaps,
    unions,
)


@pytest.mark.parametrize(
    ("hits", "positives", "points", "area"),
    [
        # Right, wrong, right: precision 1 up to recall 1/2, then 2/3. Recalls 0 ... 0.5 are six points of eleven.
        ([1, 0, 1], 2, (6 * 1 + 5 * 2 / 3) / 11, (1 + 2 / 3) / 2),
        # Of three to find one is never answered: recalls 0.7 and beyond are not reached.
        ([1, 0, 1], 3, (4 * 1 + 3 * 2 / 3) / 11, (1 + 2 / 3) / 3),
        # Precision rises from 1/2 to 2/3: what counts is the best from there on.
        ([0, 1, 1], 2, 2 / 3, 2 / 3),
        # Ten to find, three found at once: recall 0.3 is reached exactly, four points.
        ([1, 1, 1], 10, 4 / 11, 0.3),
        ([1, 1], 2, 1, 1),
        ([0, 0], 2, 0, 0),
        ([], 2, 0, 0),
    ],
)
def test_average_precision_by_hand(hits: list[int], positives: int, points: float, area: float) -> None:
    assert average_precision(np.array(hits, bool), positives) == pytest.approx((points, area))


def test_a_class_without_positives_has_none_and_does_not_count_in_the_mean() -> None:
    assert np.isnan(average_precision(np.array([False]), 0)).all()
    found = [average_precision(np.array([False]), 0), average_precision(np.array([True]), 1)]
    assert mean_precision(found) == (1, 1)
    assert np.isnan(mean_precision(found[:1])).all()


def test_difficult_photos_do_not_count_and_ties_gain_nothing() -> None:
    scores = np.array([[0.9, 0.5, 0.5], [0.8, 0.5, 0.5], [0.7, 0.5, 0.5]])
    labels = np.array([[0, 1, 0], [1, -1, 0], [-1, -1, -1]])
    first, tied, absent = multi_label_precisions(scores, labels)
    assert first == (1, 1)  # without the difficult photo the right one leads
    assert tied == pytest.approx((1 / 3, 1 / 3))  # the right one comes last of three equals
    assert np.isnan(absent).all()


def test_area_is_that_of_a_precision_made_to_fall() -> None:
    numbers = np.random.default_rng(0)
    scores, labels = numbers.normal(size=(300, 4)), np.where(numbers.random((300, 4)) < 0.2, 1, -1)
    for column, found in enumerate(multi_label_precisions(scores, labels)):
        ranked = labels[np.argsort(-scores[:, column]), column] > 0
        places = np.flatnonzero(ranked) + 1
        falls = [max((k + 1) / places[k] for k in range(start, len(places))) for start in range(len(places))]
        assert found.area == pytest.approx(np.mean(falls))
        # scikit-learn leaves the precision as it is: never more
        plain = average_precision_score(ranked, -np.arange(300))
        assert plain <= found.area < plain + 0.05


def test_intersection_over_union_by_hand() -> None:
    truth, found = np.array([[0, 0, 1], [1, 255, 0]]), np.array([[0, 1, 1], [1, 1, 0]])
    counts = confusion(truth, found, 3, 255)
    assert counts.tolist() == [[2, 1, 0], [0, 2, 0], [0, 0, 0]]  # the border is not counted
    np.testing.assert_allclose(unions(counts), [2 / 3, 2 / 3, np.nan])  # class 2 is nowhere


def test_overlaps_by_hand() -> None:
    boxes = [[0, 0, 10, 10], [0, 0, 10, 5], [20, 20, 30, 30]]
    np.testing.assert_allclose(overlaps(boxes, boxes[:2]), [[1, 0.5], [0.5, 1], [0, 0]])
    np.testing.assert_allclose(overlaps([[0, 0, 10, 10]], [[5, 5, 15, 15]]), [[25 / 175]])
    assert overlaps(np.zeros((0, 4)), boxes).shape == (0, 3)


@pytest.mark.parametrize(
    ("boxes", "marked", "difficult", "verdicts"),
    [
        # The same object three times: the first is right.
        ([[0, 0, 10, 10]] * 3, [[0, 0, 10, 10]], [False], [RIGHT, WRONG, WRONG]),
        # An overlap of exactly a half is enough, a little less is not.
        ([[0, 0, 10, 5], [0, 0, 10, 4.9]], [[0, 0, 10, 10]], [False], [RIGHT, WRONG]),
        # A difficult object counts neither way, however often.
        ([[0, 0, 10, 10]] * 2, [[0, 0, 10, 10]], [True], [IGNORED, IGNORED]),
        # Judged by the object it overlaps most, which is difficult, though it would find the other one too.
        ([[0, 0, 10, 10]], [[0, 0, 10, 10], [0, 0, 10, 9]], [True, False], [IGNORED]),
        # Two objects, two boxes that both overlap the first one most: the second object is not found.
        ([[0, 0, 10, 10], [0, 0, 10, 9]], [[0, 0, 10, 9.5], [0, 0, 10, 6]], [False, False], [RIGHT, WRONG]),
        ([[0, 0, 10, 10]], [], [], [WRONG]),
        ([], [[0, 0, 10, 10]], [False], []),
    ],
)
def test_boxes_are_judged_as_in_the_devkit(
    boxes: list[Any], marked: list[Any], difficult: list[bool], verdicts: list[int]
) -> None:
    shaped = [np.float32(each).reshape(-1, 4) for each in (boxes, marked)]
    assert judge(*shaped, np.array(difficult, bool)).tolist() == verdicts


def test_detection_precision_by_hand() -> None:
    # right, wrong, right of two: as in test_voc.py
    assert detection_precision([0.9, 0.8, 0.7], [RIGHT, WRONG, RIGHT], 2) == pytest.approx(
        ((6 + 5 * 2 / 3) / 11, (1 + 2 / 3) / 2)
    )
    # what is ignored changes nothing, wherever it ranks
    assert detection_precision([0.95, 0.9, 0.8, 0.7], [IGNORED, RIGHT, WRONG, RIGHT], 2) == pytest.approx(
        ((6 + 5 * 2 / 3) / 11, (1 + 2 / 3) / 2)
    )
    assert detection_precision([0.5] * 3, [RIGHT, WRONG, WRONG], 1) == pytest.approx((1 / 3, 1 / 3))  # ties
    assert detection_precision([], [], 2) == (0, 0)
    assert np.isnan(detection_precision([0.5], [WRONG], 0)).all()
