"""Nearest neighbours among the held-out photos, and those of a search."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from tests.report.example import HOSTILE, PICTURES, photos, rendered
from tf_spot.report import neighbours


def test_neighbours_are_by_cosine_nearest_first_and_not_the_photo_itself() -> None:
    """Ten directions, 5 degrees apart: the neighbours of the first are the others in order."""
    angles = np.radians(5 * np.arange(10))
    nearest = neighbours.nearest_others(np.stack([np.cos(angles), np.sin(angles)], axis=1))
    assert nearest[0].tolist() == [1, 2, 3, 4, 5, 6, 7, 8]
    assert set(nearest[5][:2].tolist()) == {4, 6} and 5 not in nearest[5]


def test_share_of_the_same_class() -> None:
    """Of two neighbours each: one, none, one: 2 / 6."""
    nearest = {"learned": np.array([[1, 2], [0, 2], [0, 1]])}
    assert neighbours.same_class(nearest, np.array([0, 1, 0])) == {"learned": pytest.approx(1 / 3)}


def test_too_few_photos_are_a_note() -> None:
    few = photos(None)._replace(pictures=PICTURES[:8])
    assert "Too few photos for neighbours: some photos." in rendered([neighbours.among_held_out(few)])


def test_a_bar_marks_neighbours_of_the_querys_class() -> None:
    """Photo 0 is of class 1, as are those with odd numbers; its neighbours stand in the order of their numbers."""
    labels = np.arange(20) % 2
    labels[0] = 1
    block = neighbours.among_held_out(photos(labels)._replace(class_names=["even", "odd"]))
    query = block.data.queries[0]
    assert (query.name, list(query.strips)) == ("odd", ["learned"])
    strip = np.asarray(Image.open(io.BytesIO(base64.b64decode(query.strips["learned"].partition(",")[2]))))
    middles = [number * (neighbours.TILE + neighbours.GAP) + neighbours.TILE // 2 for number in range(8)]
    bars = strip[-2, middles].astype(int)  # (neighbours, 3); a JPEG, so colours are about right
    green = np.abs(bars - neighbours.SAME_CLASS).max(axis=1) < 40
    assert green.tolist() == [True, False] * 4  # photos 1 to 8


def test_photos_without_labels_have_numbers_and_no_shares() -> None:
    block = neighbours.among_held_out(photos(None))
    assert [query.name for query in block.data.queries][:2] == ["query 1", "query 5"]
    assert "class" not in block.data.description


def test_a_search_is_shown_with_its_queries(page) -> None:
    assert f"Among all photos of set, by conv4: the query, then its neighbours. 1: {HOSTILE}" in page.text


def test_without_photos_or_searches_both_say_so(new_run) -> None:
    html = rendered(neighbours.neighbours(new_run, "The photos are gone."))
    assert "The photos are gone." in html and "tf-spot neighbours RUN" in html and "<figure" not in html
