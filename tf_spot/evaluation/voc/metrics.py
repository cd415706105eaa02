"""PASCAL VOC's measures: average precision, as of 2007 and as since 2010, and intersection over union.

Source: development kits of VOC2007 and VOC2012.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tf_spot.data.voc import CLASSES
from tf_spot.errors import UserError

POINTS = 11  # of recall: 0, 0.1, ... 1
FOUND = 0.5  # intersection over union from which a box has found an object
RIGHT, WRONG, IGNORED = 1, 0, -1  # verdicts on a box


class Precisions(NamedTuple):
    """One class by both measures, in [0, 1]; NaN where the class has no positives."""

    points: float  # VOC2007: mean over eleven recalls of the best precision at that recall or beyond
    area: float  # since VOC2010: area under the precision made to fall


def average_precision(hits: np.ndarray, positives: int) -> Precisions:
    """Return the average precision of a ranked list.

    Args:
        hits: bool (answers,), the highest score first: whether an answer is right.
        positives: how many right answers there are to find.
    """
    if positives == 0:
        return Precisions(np.nan, np.nan)
    if len(hits) == 0:
        return Precisions(0.0, 0.0)
    found = np.cumsum(hits)  # (answers,)
    precision = found / np.arange(1, len(hits) + 1)
    beyond = np.maximum.accumulate(precision[::-1])[::-1]  # the best from here on
    # Where a recall is reached; compared in whole numbers, so that no rounding decides.
    reached = [np.flatnonzero(found * (POINTS - 1) >= point * positives) for point in range(POINTS)]
    points = sum(beyond[indices[0]] for indices in reached if len(indices)) / POINTS
    return Precisions(float(points), float(np.sum(beyond[np.asarray(hits, bool)]) / positives))


def multi_label_precisions(scores: np.ndarray, labels: np.ndarray) -> list[Precisions]:
    """Return the precisions of every class of a multi-label task.

    Photos with none but difficult objects of a class do not count for it. Of equal scores the wrong ones rank first, so
    that a constant score gains nothing from the order of the photos.

    Args:
        scores: (photos, classes).
        labels: (photos, classes): 1, -1, or 0 = difficult.
    """
    found = []
    for score, label in zip(scores.T, labels.T, strict=True):
        score, label = score[label != 0], label[label != 0]
        ranked = label[np.lexsort((label, -score))] > 0
        found.append(average_precision(ranked, int(np.count_nonzero(ranked))))
    return found


def mean_precision(found: Sequence[Precisions]) -> Precisions:
    """Return the mean over the classes that have positives; NaN if none has."""
    values = np.array([each for each in found if not np.isnan(each.points)]).reshape(-1, 2)
    return Precisions(*(float(value) for value in values.mean(axis=0))) if len(values) else Precisions(np.nan, np.nan)


def percent(share: float) -> float | None:
    """Return a share in percent, to two decimals; None for NaN, which JSON cannot hold."""
    return None if np.isnan(share) else round(100 * share, 2)


def percents(found: Precisions) -> dict[str, float | None]:
    """Return both measures in percent, by their names in a result file."""
    return {"11-point": percent(found.points), "area": percent(found.area)}


def class_precisions(by_class: Sequence[Precisions]) -> dict[str, Any]:
    """Return `value`, `by_layer` and `by_class` of a result file.

    Args:
        by_class: of VOC's classes.

    Raises:
        UserError: no class has positives.
    """
    mean = mean_precision(by_class)
    if np.isnan(mean.points):
        raise UserError("the test photos must hold an object of some class that is not difficult; received none")
    return {
        "value": percent(mean.points),
        "by_layer": percents(mean),
        "by_class": {name: percents(each) for name, each in zip(CLASSES, by_class, strict=True)},
    }


def overlaps(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the intersection over union of every pair of boxes, float64 (boxes, others).

    Args:
        boxes, others: (boxes, 4) and (others, 4): top, left, bottom, right.
    """
    boxes, others = np.asarray(boxes, np.float64), np.asarray(others, np.float64)
    # (boxes, others, 2): top left and bottom right corners of the intersections
    low, high = (pick(boxes[:, None, corner], others[None, :, corner])
                 for pick, corner in ((np.maximum, slice(0, 2)), (np.minimum, slice(2, 4))))  # fmt: skip
    both = np.prod(np.maximum(high - low, 0), axis=-1)
    areas = [np.prod(each[:, 2:] - each[:, :2], axis=-1) for each in (boxes, others)]
    return both / np.maximum(areas[0][:, None] + areas[1][None] - both, 1e-12)


def judge(boxes: np.ndarray, objects: np.ndarray, difficult: np.ndarray) -> np.ndarray:
    """Judge the boxes found in one photo for one class: `RIGHT`, `WRONG` or `IGNORED`.

    Each is compared with the object that it overlaps most, as in the devkit. Of the boxes that find an object the first
    is right and the others are wrong; those that find a difficult object count neither way.

    Args:
        boxes: (boxes, 4), the highest score first.
        objects: (objects, 4) of that class.
        difficult: bool (objects,).

    Returns:
        int8 (boxes,).
    """
    verdicts = np.full(len(boxes), WRONG, np.int8)
    if len(objects) == 0:
        return verdicts
    shares, taken = overlaps(boxes, objects), np.zeros(len(objects), bool)
    for box, nearest in enumerate(shares.argmax(axis=1)):
        if shares[box, nearest] < FOUND:
            continue
        if difficult[nearest]:
            verdicts[box] = IGNORED
        elif not taken[nearest]:
            verdicts[box], taken[nearest] = RIGHT, True
    return verdicts


def detection_precision(scores: npt.ArrayLike, verdicts: npt.ArrayLike, positives: int) -> Precisions:
    """Return the precisions of one class over all photos. Of equal scores the wrong boxes rank first.

    Args:
        scores, verdicts: (boxes,) of all photos, see `judge`.
        positives: objects of the class that are not difficult.
    """
    score, verdict = np.asarray(scores, np.float64), np.asarray(verdicts, np.int8)
    score, verdict = score[verdict != IGNORED], verdict[verdict != IGNORED]
    return average_precision(verdict[np.lexsort((verdict, -score))] == RIGHT, positives)


def confusion(truth: np.ndarray, found: np.ndarray, num_classes: int, ignored: int) -> np.ndarray:
    """Count pixels by true class (rows) and class found (columns): int64 (classes, classes).

    Args:
        truth, found: whole numbers of one shape.
        num_classes: classes are 0 ... num_classes - 1.
        ignored: the true value of pixels that do not count.
    """
    counted = truth != ignored
    pairs = truth[counted].astype(np.int64) * num_classes + found[counted]
    return np.bincount(pairs, minlength=num_classes**2).reshape(num_classes, num_classes)


def unions(counts: np.ndarray) -> np.ndarray:
    """Return the intersection over union of every class, float64 (classes,); NaN for one neither true nor found.

    Args:
        counts: of `confusion`, (classes, classes).
    """
    both = np.diagonal(counts).astype(np.float64)
    either = counts.sum(axis=0) + counts.sum(axis=1) - both
    return np.where(either > 0, both / np.maximum(either, 1), np.nan)
