"""Classes named by text beside each photo, such as `ant` or `7`, as numbers that count the classes of training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tf_spot.errors import UserError


class Labels(NamedTuple):
    """The classes and the labels of both splits; all None without labels."""

    class_names: list[str] | None
    train: np.ndarray | None  # int32 (photos,)
    test: np.ndarray | None


def number_labels(
    spec: str, train: Sequence[str | None], test: Sequence[str | None], class_names: Sequence[str] = ()
) -> Labels:
    """Number the classes that are trained on, in the order of their names; names that are all numbers, by these.

    Args:
        spec: of the source, for messages.
        train, test: the class of each photo; None: unknown.
        class_names: all classes in an order of their own; empty: those of `train`.

    Raises:
        UserError: some photos have a class and some have none, or test photos are of classes not trained on.
    """
    without = sum(text is None for text in (*train, *test))
    if without == len(train) + len(test):
        return Labels(None, None, None)
    if without:
        raise UserError(
            f"all photos must have a label, or none; received: {spec} with {without:,} of "
            f"{len(train) + len(test):,} that have none; add them, or write {spec},label=none to do without labels"
        )
    names = set(class_names) or {text for text in train if text is not None}
    numeric = all(name.isascii() and name.isdigit() for name in names)
    ordered = list(class_names) or sorted(names, key=int if numeric else None)
    unknown = sorted({text for text in test if text is not None} - names)
    if unknown:
        raise UserError(
            f"every class of the test split must be one that is trained on ({', '.join(ordered[:20])}); received: "
            f"{', '.join(unknown[:20])}, in {spec}"
        )
    numbers = {name: number for number, name in enumerate(ordered)}

    def numbered(texts: Sequence[str | None]) -> np.ndarray:
        return np.array([numbers[text] for text in texts if text is not None], np.int32)

    return Labels(ordered, numbered(train), numbered(test))
