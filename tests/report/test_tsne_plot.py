"""The map of the features: photos at their positions, framed in the colours of their classes."""

import numpy as np
import pytest

from tests.report.example import photos, rendered
from tf_spot.report import tsne_plot


def test_the_map_has_a_frame_of_its_colour_around_each_photo():
    pictures = np.stack([np.full((8, 8, 3), level, np.uint8) for level in (10, 200)])
    drawn = np.asarray(tsne_plot.draw(pictures, np.array([[0, 0], [1, 1]]), [(255, 0, 0), (0, 0, 255)]))
    assert drawn.shape == (tsne_plot.HEIGHT, tsne_plot.WIDTH, 3)
    assert drawn[1, 1].tolist() == [255, 0, 0] and drawn[20, 20].tolist() == [10] * 3
    assert drawn[-2, -2].tolist() == [0, 0, 255] and drawn[-20, -20].tolist() == [200] * 3
    assert (drawn[100:-100] == 255).all()
    bare = np.asarray(tsne_plot.draw(pictures, np.array([[0, 0], [1, 1]]), []))
    assert bare[1, 1].tolist() == [255] * 3


def test_like_photos_lie_together():
    """Two groups of ten directions, each around an axis of its own."""
    numbers = np.random.default_rng(0)
    vectors = np.repeat(np.eye(2, 6), 10, axis=0) + 0.05 * numbers.normal(size=(20, 6))
    where = tsne_plot.positions(vectors.astype(np.float32))
    assert where.min() == 0 and where.max() == 1
    distances = np.linalg.norm(where[:, None] - where[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    assert ((distances.argmin(axis=1) < 10) == (np.arange(20) < 10)).all()


@pytest.mark.parametrize(
    ("labels", "colours"), [(None, 0), (np.arange(20), 20), (np.arange(1, 21), 0)], ids=["no labels", "20", "21"]
)
def test_classes_have_colours_as_long_as_they_can_be_told_apart(labels, colours):
    found = tsne_plot.class_colours(photos(labels))
    assert len(found) == len(set(found)) == colours


def test_features_that_are_all_the_same_have_no_map():
    same = photos(None, np.ones((20, 4), np.float32) / 2)
    assert "all have the same features" in rendered(tsne_plot.feature_map(same))
    assert "<figure>" not in rendered(tsne_plot.feature_map("The photos are gone."))


def test_legend_has_the_classes_that_are_there_in_their_colours() -> None:
    """tab20 begins with two blues; class 1 has no photo."""
    some = photos(np.array([2, 0] * 10))._replace(class_names=["cat", "cow", "<dog>"])
    colours = tsne_plot.class_colours(some)
    entries = tsne_plot.legend(some, colours)
    assert entries == [("cat", (31, 119, 180)), ("<dog>", (255, 127, 14))]
    assert (colours[1], colours[0]) == (entries[0].colour, entries[1].colour)
    blocks = tsne_plot.feature_map(some)
    assert "border-color: rgb(31, 119, 180)" in rendered(blocks) and "&lt;dog&gt;" in rendered(blocks)
    assert tsne_plot.legend(some._replace(class_names=[]), colours) == []
