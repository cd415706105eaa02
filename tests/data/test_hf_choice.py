"""Which splits and columns of a data set are used."""

from __future__ import annotations

import datasets
import pytest

from tests.support.hub_data import split_of
from tf_spot.data.hf_choice import choose, class_names, texts
from tf_spot.errors import UserError

ROWS = split_of([1, 2], [0, 2])


def chosen(splits: dict[str, datasets.Dataset], **options: str) -> tuple[str | None, ...]:
    return tuple(choose("hf:x", splits, options))


def test_by_name_and_type() -> None:
    rows = ROWS.rename_columns({"image": "picture", "label": "kind"})
    assert chosen({"train": rows}) == ("train", None, None, "picture", "kind")
    everything = dict.fromkeys(("Train", "validation", "test", "unlabeled"), rows)
    assert chosen(everything) == ("Train", "test", "unlabeled", "picture", "kind")
    assert chosen({"training": rows, "dev": rows})[:3] == ("training", "dev", None)
    assert chosen({"full": rows})[:3] == ("full", None, None)


def test_what_is_named_comes_first() -> None:
    splits = dict.fromkeys(("train", "test", "extra"), ROWS)
    assert chosen(splits, train="extra", test="train", unlabelled="test") == (
        "extra",
        "train",
        "test",
        "image",
        "label",
    )
    assert chosen(splits, test="none", label="none") == ("train", None, None, "image", None)


def test_a_test_split_whose_labels_are_withheld_is_passed_over() -> None:
    withheld = split_of([3], [-1])
    splits = {"train": ROWS, "test": withheld, "validation": ROWS}
    assert chosen(splits)[1] == "validation"
    assert chosen(splits, label="none")[1] == "test"
    assert chosen({"train": ROWS, "test": withheld})[1] is None
    bare = {"train": ROWS, "test": ROWS.remove_columns("label")}
    assert chosen(bare)[1] is None, "it has no column of labels"
    with pytest.raises(UserError, match="the column of labels, label; received: test with the columns image; name"):
        chosen(bare, test="test")


def test_the_usual_name_decides_among_several_columns() -> None:
    rows = ROWS.add_column("fine", [1, 0]).cast_column("fine", datasets.ClassLabel(names=["a", "b"]))
    assert chosen({"train": rows})[4] == "label"
    both = rows.rename_column("label", "coarse")
    with pytest.raises(
        UserError, match=r"several columns for the label: coarse, fine; .*choose one: hf:x,label=COLUMN"
    ):
        chosen({"train": both})
    assert chosen({"train": both}, label="fine")[4] == "fine"


def test_labels_that_are_text_or_numbers() -> None:
    rows = ROWS.remove_columns("label").add_column("label", ["bee", None])
    assert chosen({"train": rows})[4] == "label"
    assert (texts(rows, "label"), class_names(rows, "label")) == (["bee", None], [])
    assert (texts(ROWS, "label"), class_names(ROWS, "label")) == (["wasp", "bee"], ["wasp", "ant", "bee"])
    assert chosen({"train": ROWS.remove_columns("label").add_column("id", [1, 2])})[4] is None


@pytest.mark.parametrize(
    ("splits", "options", "says"),
    [
        (("test",), {}, "must have a split `train`; received: test; name one: hf:x,train=SPLIT"),
        (("a", "b"), {}, "received: a, b; name one"),
        (("train",), {"test": "dev"}, "received: dev; allowed: train"),
        (
            ("train",),
            {"image": "picture"},
            "must have the column that it names; received: picture; allowed: image, label",
        ),
        (("train",), {"label": "image"}, "a label must be a class, text or a whole number; received: image of"),
    ],
)
def test_what_does_not_fit(splits: tuple[str, ...], options: dict[str, str], says: str) -> None:
    with pytest.raises(UserError, match=says):
        chosen(dict.fromkeys(splits, ROWS), **options)


def test_no_photos() -> None:
    with pytest.raises(
        UserError, match=r"must have a column of the type Image; received: label \(int64\); .*image=COLUMN"
    ):
        chosen({"train": ROWS.remove_columns("image")})
