"""The score of detected objects, beside the devkit's definition in loops."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from tests.support.voc_devkits import CAT, DOG, found, objects
from tf_spot.data.voc import CLASSES, Objects
from tf_spot.errors import UserError
from tf_spot.evaluation.voc.detection_score import Detections, proposal_recall, save_boxes, score_detections


def test_score_leaves_absent_and_difficult_classes_out() -> None:
    whole, half = (0, 0, 10, 10), (0, 0, 10, 4)
    truth = [objects((whole, DOG, False)), objects((whole, CAT, True)), objects(), objects((whole, DOG, False))]
    ours = [
        found((whole, DOG, 0.9), (whole, CAT, 0.99)),  # right; a cat where there is none
        found((whole, CAT, 0.8)),  # finds the difficult one
        found((whole, DOG, 0.3)),  # a photo without objects: wrong
        found((half, DOG, 0.5)),  # overlaps too little: wrong
    ]
    figures = score_detections(ours, truth, seed=0)
    assert figures["by_class"]["cat"] == {"11-point": None, "area": None}  # none but a difficult one
    assert figures["by_class"]["dog"] == {"11-point": round(600 / 11, 2), "area": 50.0}  # one of two, ranked first
    assert figures["value"] == figures["by_layer"]["11-point"] == round(600 / 11, 2)
    assert figures["stderr"] > 0
    nothing = score_detections([found()] * 4, truth, seed=0)
    assert nothing["value"] == 0 and nothing["stderr"] == 0
    with pytest.raises(UserError, match="not difficult; received none"):
        score_detections([found()], [objects((whole, CAT, True))], seed=0)


def devkit_precision(ours: Sequence[Detections], truth: Sequence[Objects], number: int) -> float:
    """VOC2007's measure in loops, one box after the other through all photos: its definition, as a second opinion."""
    ranked = sorted(
        ((float(s), photo, box) for photo, each in enumerate(ours)
         for box, s, c in zip(each.boxes, each.scores, each.classes, strict=True) if c == number),
        key=lambda one: -one[0],
    )  # fmt: skip
    taken: set[tuple[int, int]] = set()
    right = wrong = 0
    curve = []
    positives = sum(int(np.sum((each.classes == number) & ~each.difficult)) for each in truth)
    for _, photo, box in ranked:
        best, which = 0.0, -1
        for place in np.flatnonzero(truth[photo].classes == number):
            other = truth[photo].boxes[place]
            both = max(0.0, min(box[2], other[2]) - max(box[0], other[0])) * max(
                0.0, min(box[3], other[3]) - max(box[1], other[1])
            )
            either = (box[2] - box[0]) * (box[3] - box[1]) + (other[2] - other[0]) * (other[3] - other[1]) - both
            if both / either > best:
                best, which = both / either, int(place)
        if best >= 0.5 and truth[photo].difficult[which]:
            continue
        if best >= 0.5 and (photo, which) not in taken:
            taken.add((photo, which))
            right += 1
        else:
            wrong += 1
        curve.append((right / positives, right / (right + wrong)))
    return sum(max((p for r, p in curve if r >= k / 10 - 1e-12), default=0.0) for k in range(11)) / 11


def test_score_is_the_devkits_on_random_boxes() -> None:
    numbers = np.random.default_rng(0)

    def boxes(count: int) -> np.ndarray:
        corner = numbers.uniform(0, 30, (count, 2))
        return np.hstack([corner, corner + numbers.uniform(5, 30, (count, 2))]).astype(np.float32)

    truth, ours = [], []
    for _ in range(60):
        marked = boxes(4)
        truth.append(Objects(marked, numbers.integers(0, 2, 4), numbers.random(4) < 0.2))
        near = (np.repeat(marked, 3, axis=0) + numbers.normal(0, 3, (12, 4))).astype(np.float32)
        ours.append(Detections(near, numbers.random(12).astype(np.float32), numbers.integers(0, 2, 12)))
    by_class = score_detections(ours, truth, seed=0)["by_class"]
    for number in (0, 1):
        wanted = devkit_precision(ours, truth, number)
        assert 0.1 < wanted < 0.9
        assert by_class[CLASSES[number]]["11-point"] == pytest.approx(100 * wanted, abs=0.01)


def test_recall_is_the_share_of_objects_that_a_proposal_finds() -> None:
    truth = [objects(((0, 0, 10, 10), DOG, False), ((0, 0, 4, 4), CAT, False)), objects(((0, 0, 9, 9), CAT, True))]
    assert proposal_recall([np.float32([[0, 0, 10, 6]]), np.float32([[0, 0, 1, 1]] * 4)], truth) == {
        "per_photo": 2.5, "recall": 50.0}  # fmt: skip


def test_boxes_are_written_as_the_devkit_counts_pixels(tmp_path: Path) -> None:
    """The box of ten pixels in the corner, which an annotation of the devkit calls 1, 1, 10, 10."""
    corner, wide = [0, 0, 10, 10], [4, 20, 30, 50.5]
    found = [
        Detections(np.float32([corner, wide]), np.float32([0.75, 0.5]), np.array([DOG, DOG])),
        Detections(np.float32([wide]), np.float32([0.25]), np.array([DOG + 1])),
    ]
    save_boxes(tmp_path / "spot", "test", ["000001", "000004"], found)
    files = {file.name: file.read_text() for file in (tmp_path / "spot").iterdir()}
    assert set(files) == {f"comp4_det_test_{name}.txt" for name in CLASSES}
    assert files["comp4_det_test_dog.txt"] == (
        "000001 0.750000 1.0 1.0 10.0 10.0\n000001 0.500000 21.0 5.0 50.5 30.0\n"
    )
    assert files[f"comp4_det_test_{CLASSES[DOG + 1]}.txt"] == "000004 0.250000 21.0 5.0 50.5 30.0\n"
    assert files["comp4_det_test_sofa.txt"] == ""
