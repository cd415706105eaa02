"""Object proposals: found, kept and read again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tf_spot.data.voc import VOC
from tf_spot.errors import UserError
from tf_spot.evaluation.voc.metrics import overlaps
from tf_spot.evaluation.voc.proposals import Proposals, default_folder


class Searches:
    """Counts how often selective search runs."""

    def __init__(self, proposals: Proposals) -> None:
        self.count, self.real = 0, proposals._algorithm
        proposals._algorithm = self

    def __call__(self) -> Any:
        self.count += 1
        return self.real()


def test_selective_search_finds_the_objects_and_is_kept(boxed_devkit: Path, tmp_path: Path) -> None:
    voc = VOC(f"voc:{boxed_devkit}")
    search = Proposals(tmp_path, side=48)
    searches, shares = Searches(search), []
    names = [f"{number:06d}" for number in range(4)]
    boxes = search.find(voc, names, shares.append)
    assert shares == [0.25, 0.5, 0.75, 1.0] and searches.count == 4
    for name, found_boxes in zip(names, boxes, strict=True):
        assert overlaps(voc.objects(name).boxes, found_boxes).max() > 0.8
        assert found_boxes[0].tolist() == [0, 0, 48, 64]  # the photo, which is the largest
        assert found_boxes.dtype == np.float32 and (found_boxes[:, 2:] > found_boxes[:, :2]).all()
        assert len(np.unique(found_boxes, axis=0)) == len(found_boxes)
    again = Proposals(tmp_path, side=48)
    searches = Searches(again)
    for one, other in zip(again.find(voc, names, shares.append), boxes, strict=True):
        np.testing.assert_array_equal(one, other)
    assert searches.count == 0
    # another setting: files of its own; the boxes are in pixels of the photo all the same
    smaller = Proposals(tmp_path, side=24)
    searches = Searches(smaller)
    (box, *_) = smaller(voc, names[0])
    assert searches.count == 1 and box.tolist() == [0, 0, 48, 64]
    assert len(list(tmp_path.iterdir())) == 5


def test_a_damaged_or_half_written_file_is_never_read(boxed_devkit: Path, tmp_path: Path) -> None:
    voc, search = VOC(f"voc:{boxed_devkit}"), Proposals(tmp_path, side=48)
    whole = search(voc, "000000")
    (file,) = tmp_path.iterdir()
    content, searches = file.read_bytes(), Searches(search)
    for kept in (len(content) - 1, 40, 0):
        file.write_bytes(content[:kept])
        np.testing.assert_array_equal(search(voc, "000000"), whole)
        assert file.read_bytes() == content
    assert searches.count == 3
    # what a kill leaves behind while writing has another name
    file.unlink()
    (tmp_path / f".writing-{file.name}").write_bytes(content[:100])
    np.testing.assert_array_equal(search(voc, "000000"), whole)
    assert searches.count == 4
    # the same name, another photo
    path = voc.photo_path("000000")
    before = path.read_bytes()
    path.write_bytes(voc.photo_path("000001").read_bytes())
    assert not np.array_equal(search(voc, "000000"), whole)
    path.write_bytes(before)
    with pytest.raises(UserError, match=r"JPEGImages/none.jpg of .* cannot be read"):
        search(voc, "none")


def test_proposals_are_kept_for_all_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_folder() == tmp_path / "tf_spot" / "proposals"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert default_folder() == tmp_path / "home" / ".cache" / "tf_spot" / "proposals"


def test_without_opencv_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(__import__("sys").modules, "cv2.ximgproc", None)
    with pytest.raises(UserError, match=r"pip install tf-spot\[voc\]"):
        Proposals(tmp_path, side=48)
