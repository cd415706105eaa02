"""The works of the paper's tables: each named, with what stands for it here or the reason why nothing does."""

from __future__ import annotations

import re

import pytest

from tf_spot.baselines import METHODS
from tf_spot.evaluation.published_rows import TABLE_2, TABLE_3, TABLE_4, TABLE_5
from tf_spot.evaluation.published_works import OWN, WORKS, here


def test_every_row_is_of_a_work_and_every_work_has_a_row() -> None:
    rows = {*TABLE_2, *TABLE_3, *TABLE_4, *TABLE_5}
    assert rows - set(OWN) == set(WORKS)


@pytest.mark.parametrize("name", WORKS)
def test_a_work_has_a_year_and_either_a_method_or_a_reason(name: str) -> None:
    work = WORKS[name]
    assert re.search(r"(19|20)\d\d$", work.reference) and work.idea
    assert bool(work.ours) != bool(work.reason)
    first = re.split(r" et al\.| &|,", name)[0]
    assert work.reference.startswith(first)


def test_what_stands_for_a_work_can_be_compared() -> None:
    assert {work.ours for work in WORKS.values() if work.ours} <= set(METHODS)
    assert here("spot") == "spot" and here("random") == "random"
    assert here("Krähenbühl et al., k-means") == "kmeans" and here("Owens et al., sound") == "-"
