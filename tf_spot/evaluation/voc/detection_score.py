"""Objects detected in photos: scored by the devkit's average precision, and written as the devkit reads them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tf_spot.data.voc import CLASSES, Objects
from tf_spot.evaluation.voc.bootstrap import standard_error
from tf_spot.evaluation.voc.metrics import (
    FOUND,
    Precisions,
    class_precisions,
    detection_precision,
    judge,
    mean_precision,
    overlaps,
    percent,
)
from tf_spot.storage.files import write_text


class Detections(NamedTuple):
    """The boxes found in one photo, the one of the highest score in a class first."""

    boxes: np.ndarray  # float32 (boxes, 4) in pixels of the photo: top, left, bottom, right
    scores: np.ndarray  # float32 (boxes,)
    classes: np.ndarray  # int64 (boxes,), indices into `CLASSES`


def score_detections(detections: Sequence[Detections], truth: Sequence[Objects], seed: int) -> dict[str, Any]:
    """Return `value`, `stderr`, `by_layer` and `by_class` of a result file.

    Args:
        detections: of each photo.
        truth: of the same photos, in the same order.
        seed: of the resampled photos, for the standard error.

    Raises:
        UserError: no photo has an object that is not difficult.
    """
    judged = [_JudgedClass.of(index, detections, truth) for index in range(len(CLASSES))]

    def by_class(photos: np.ndarray) -> list[Precisions]:
        repeats = np.bincount(photos, minlength=len(truth))
        return [each.precision(repeats) for each in judged]

    metrics = class_precisions(by_class(np.arange(len(truth))))
    error = standard_error(lambda photos: mean_precision(by_class(photos)).points, len(truth), seed)
    return {"value": metrics["value"], "stderr": percent(error)} | metrics


class _JudgedClass(NamedTuple):
    """The boxes of one class in all photos."""

    photos: np.ndarray  # int (boxes,), the photo that a box is in
    scores: np.ndarray  # (boxes,)
    verdicts: np.ndarray  # int8 (boxes,), see `judge`
    positives: np.ndarray  # int (photos,), objects that are not difficult

    @classmethod
    def of(cls, index: int, detections: Sequence[Detections], truth: Sequence[Objects]) -> _JudgedClass:
        counts, scores, verdicts, positives = [], [], [], []
        for found, objects in zip(detections, truth, strict=True):
            ours, theirs = found.classes == index, objects.classes == index
            order = np.argsort(-found.scores[ours], kind="stable")
            counts.append(len(order))
            scores.append(found.scores[ours][order])
            verdicts.append(judge(found.boxes[ours][order], objects.boxes[theirs], objects.difficult[theirs]))
            positives.append(np.count_nonzero(~objects.difficult[theirs]))
        photos = np.repeat(np.arange(len(truth)), counts)
        return cls(photos, np.concatenate(scores), np.concatenate(verdicts), np.array(positives))

    def precision(self, repeats: np.ndarray) -> Precisions:
        """Return the precision with every photo counted so many times, int (photos,)."""
        of_boxes = repeats[self.photos]  # (boxes,)
        return detection_precision(
            np.repeat(self.scores, of_boxes), np.repeat(self.verdicts, of_boxes), int(self.positives @ repeats)
        )


def proposal_recall(proposals: Sequence[np.ndarray], truth: Sequence[Objects]) -> dict[str, float]:
    """Return what bounds the score: proposals per photo, and the percentage of the objects that one of them finds.

    Args:
        proposals: of each photo, (boxes, 4).
        truth: of the same photos.
    """
    best = [
        overlaps(objects.boxes[~objects.difficult], boxes).max(axis=1)
        for boxes, objects in zip(proposals, truth, strict=True)
    ]
    found = np.concatenate(best) >= FOUND
    return {
        "per_photo": round(float(np.mean([len(boxes) for boxes in proposals])), 1),
        "recall": round(100 * float(found.mean()), 2),
    }


def save_boxes(folder: Path, split: str, names: Sequence[str], detections: Sequence[Detections]) -> None:
    """Write one file per class, as the devkit reads it: photo, score, left, top, right, bottom.

    Its pixels count from 1 and the last one is in, see `VOC.objects`. `comp4` is its name for detectors that have
    learned from other photos too.
    """
    for index, label in enumerate(CLASSES):
        lines = [
            f"{name} {score:.6f} {left + 1:.1f} {top + 1:.1f} {right:.1f} {bottom:.1f}\n"
            for name, found in zip(names, detections, strict=True)
            for (top, left, bottom, right), score, class_index in zip(*found, strict=True)
            if class_index == index
        ]
        write_text(folder / f"comp4_det_{split}_{label}.txt", "".join(lines))
