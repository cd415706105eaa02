"""A result on a part of PASCAL VOC says so."""

from __future__ import annotations

from typing import Any

import pytest

from tf_spot.evaluation.voc.official_sizes import subset

NONE, SOME = {"11-point": None, "area": None}, {"11-point": 1.0, "area": 2.0}


def result(task: str, data: str, train: int, test: int, **more: Any) -> dict[str, Any]:
    return {"task": task, "data": data, "train_images": train, "test_images": test} | more


@pytest.mark.parametrize(
    ("task", "data", "counts"),
    [
        ("voc-classification", "voc2007", (5_011, 4_952)),
        ("voc-segmentation", "voc2012", (1_464, 1_449)),
        ("voc-detection", "voc1999", (1, 1)),
        ("linear", "voc2007", (1, 1)),
    ],
)
def test_whole_splits_and_what_is_not_listed_are_called_no_subset(
    task: str, data: str, counts: tuple[int, int]
) -> None:
    assert not subset(result(task, data, *counts, by_class={"cat": SOME, "dog": SOME}))


def test_a_subset_names_the_official_sizes_and_the_classes_that_are_left() -> None:
    classes = {"cat": NONE, "dog": SOME, "cow": SOME}
    assert subset(result("voc-detection", "voc2007", 942, 965, by_class=classes)) == (
        "a subset of voc2007, whose splits have 5,011 training and 4,952 test photos; 2 of 3 classes in the test"
    )
    assert subset(result("voc-classification", "voc2007", 5_011, 965, by_class={"dog": SOME})) == (
        "a subset of voc2007, whose splits have 5,011 training and 4,952 test photos"
    )
    assert subset(result("voc-segmentation", "voc2007", 64, 37, by_class={"cat": None, "dog": 1.0})) == (
        "a subset of voc2007, whose splits have 422 training and 210 test photos with masks"
    )
