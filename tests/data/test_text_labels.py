"""Classes by text beside each photo."""

from __future__ import annotations

import pytest

from tf_spot.data.text_labels import number_labels
from tf_spot.errors import UserError


def test_names_are_sorted_and_numbers_counted() -> None:
    named = number_labels("wds:x", ["bee", "ant", "bee"], ["bee"])
    assert named.class_names == ["ant", "bee"]
    assert named.train is not None and named.train.tolist() == [1, 0, 1]
    assert named.test is not None and named.test.tolist() == [1]
    assert number_labels("wds:x", ["10", "9"], []).class_names == ["9", "10"]
    assert number_labels("wds:x", ["10", "9", "x"], []).class_names == ["10", "9", "x"]


def test_an_order_that_is_given_is_kept() -> None:
    named = number_labels("hf:x", ["ant"], ["bee"], ["cat", "bee", "ant"])
    assert named.class_names == ["cat", "bee", "ant"]
    assert named.train is not None and named.test is not None
    assert (named.train.tolist(), named.test.tolist()) == ([2], [1])


def test_without_labels() -> None:
    assert number_labels("wds:x", [None, None], [None]) == (None, None, None)


@pytest.mark.parametrize(
    ("train", "test", "says"),
    [
        (["ant", None], [], "hf:x with 1 of 2 that have none; .*hf:x,label=none"),
        (["ant"], [None], "with 1 of 2 that have none"),
        (["ant"], ["bee"], r"trained on \(ant\); received: bee, in hf:x"),
    ],
)
def test_labels_that_do_not_fit(train: list[str | None], test: list[str | None], says: str) -> None:
    with pytest.raises(UserError, match=says):
        number_labels("hf:x", train, test)
