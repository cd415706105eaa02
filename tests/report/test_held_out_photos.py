"""The parts of the report that show photos: who is near whom, and where on the map."""

import numpy as np
import pytest

from tf_spot.report import neighbours
from tf_spot.report import tsne_plot as feature_map
from tf_spot.report.held_out_photos import Photos

PICTURES = np.zeros((20, 8, 8, 3), np.uint8)


def photos(labels: np.ndarray | None, directions: np.ndarray | None = None) -> Photos:
    vectors = np.eye(20, dtype=np.float32) if directions is None else directions
    return Photos(PICTURES, labels, [], {"learned": vectors}, "some photos")


def test_neighbours_are_by_cosine_nearest_first_and_not_the_photo_itself():
    """Ten directions, 5 degrees apart: the neighbours of the first are the others in order."""
    angles = np.radians(5 * np.arange(10))
    nearest = neighbours.nearest_others(np.stack([np.cos(angles), np.sin(angles)], axis=1))
    assert nearest[0].tolist() == [1, 2, 3, 4, 5, 6, 7, 8]
    assert set(nearest[5][:2].tolist()) == {4, 6} and 5 not in nearest[5]


def test_share_of_the_same_class():
    """Of two neighbours each: one, none, one: 2 / 6."""
    nearest = {"learned": np.array([[1, 2], [0, 2], [0, 1]])}
    assert neighbours.same_class(nearest, np.array([0, 1, 0])) == {"learned": pytest.approx(1 / 3)}


def test_too_few_photos_for_neighbours_are_told(tmp_path):
    few = photos(None)._replace(pictures=PICTURES[:8])
    assert "Too few photos for neighbours: some photos." in neighbours._among(few)


def test_the_map_has_a_frame_of_its_colour_around_each_photo():
    pictures = np.stack([np.full((8, 8, 3), level, np.uint8) for level in (10, 200)])
    drawn = np.asarray(feature_map.draw(pictures, np.array([[0, 0], [1, 1]]), [(255, 0, 0), (0, 0, 255)]))
    assert drawn.shape == (feature_map.HEIGHT, feature_map.WIDTH, 3)
    assert drawn[1, 1].tolist() == [255, 0, 0] and drawn[20, 20].tolist() == [10] * 3
    assert drawn[-2, -2].tolist() == [0, 0, 255] and drawn[-20, -20].tolist() == [200] * 3
    assert (drawn[100:-100] == 255).all()
    bare = np.asarray(feature_map.draw(pictures, np.array([[0, 0], [1, 1]]), []))
    assert bare[1, 1].tolist() == [255] * 3


def test_like_photos_lie_together():
    """Two groups of ten directions, each around an axis of its own."""
    numbers = np.random.default_rng(0)
    vectors = np.repeat(np.eye(2, 6), 10, axis=0) + 0.05 * numbers.normal(size=(20, 6))
    where = feature_map.places(vectors.astype(np.float32))
    assert where.min() == 0 and where.max() == 1
    distances = np.linalg.norm(where[:, None] - where[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    assert ((distances.argmin(axis=1) < 10) == (np.arange(20) < 10)).all()


@pytest.mark.parametrize(
    ("labels", "colours"), [(None, 0), (np.arange(20), 20), (np.arange(1, 21), 0)], ids=["no labels", "20", "21"]
)
def test_classes_have_colours_as_long_as_they_can_be_told_apart(labels, colours):
    found = feature_map.class_colours(photos(labels))
    assert len(found) == len(set(found)) == colours


def test_features_that_are_all_the_same_have_no_map():
    same = photos(None, np.ones((20, 4), np.float32) / 2)
    assert "all have the same features" in feature_map.feature_map(same)
    assert "<figure>" not in feature_map.feature_map("The photos are gone.")
