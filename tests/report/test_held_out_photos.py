"""The held-out photos of a run, read again by its record."""

import numpy as np

from tests.report.example import CONFIG, DATA
from tf_spot.report.held_out_photos import held_out_photos, thumbnail
from tf_spot.runs.load import load_backbone
from tf_spot.runs.run import Run


def test_photos_have_unit_vectors_of_three_kinds(run) -> None:
    photos = held_out_photos(run, load_backbone(run.path).backbone)
    assert photos.pictures.shape == (20, 16, 16, 3) and photos.pictures.dtype == np.uint8
    assert list(photos.class_names) == ["a<b>red", "blue"]
    # Red photos are red: (photos, 16, 16, 3) averaged over all but the channel.
    red = photos.pictures[photos.labels == 0].mean(axis=(0, 1, 2))
    assert red[0] > 200 and red[2] < 50
    assert list(photos.vectors) == ["learned", "random", "raw pixels"]
    assert photos.vectors["raw pixels"].shape == (20, 16 * 16 * 3)
    for vectors in photos.vectors.values():
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)  # float32 sums


def test_photos_that_were_held_out_are_shown(page) -> None:
    """The photos' digest is not that of the record, which the page says."""
    assert "among 20 photos, held out of the training; they are not all the same as when it was trained." in page.text
    assert "raw pixels 100%" in page.text, "red photos are nearest to red ones, blue to blue"
    assert "a<b>red" in page.text and "t-SNE" in page.text


def test_photos_that_are_gone_have_a_reason(tmp_path) -> None:
    other = Run.create(tmp_path / "run", CONFIG, DATA | {"spec": f"folder:{tmp_path}/<gone>"})
    reason = held_out_photos(other, None)
    assert reason.startswith("The photos of this run cannot be found from here") and "<gone>" in reason


def test_thumbnails_keep_their_colour() -> None:
    small = np.asarray(thumbnail(np.full((9, 9, 3), (10, 20, 30), np.uint8), 4))
    assert small.shape == (4, 4, 3) and (small == (10, 20, 30)).all()
