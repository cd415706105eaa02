"""VOC's official folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.support.voc_devkits import DOG, XML
from tf_spot.config import PAPER
from tf_spot.data.voc import CLASSES, VOC
from tf_spot.errors import UserError


def test_labels_are_those_of_the_lists(devkit: Path) -> None:
    voc = VOC(f"voc:{devkit}")
    assert (voc.name, voc.splits) == ("voc2007", ("trainval", "test"))
    assert VOC(f"voc:{devkit / 'VOC2007'}").fingerprint() == voc.fingerprint()
    names, labels = voc.labels("test")
    assert names[:2] == ["000100", "000101"] and labels.shape == (12, 20)
    assert labels[:4, CLASSES.index("train")].tolist() == [-1, 1, -1, 1]
    assert labels[:4, CLASSES.index("dog")].tolist() == [-1, -1, -1, 0]
    before = voc.fingerprint()
    (devkit / "VOC2007" / "JPEGImages" / "000100.jpg").write_bytes(b"other")
    assert voc.fingerprint() != before
    with pytest.raises(UserError, match=r"JPEGImages/000100.jpg of .* cannot be read"):
        voc.photos("test", 16, PAPER.data)


def test_without_test_labels_val_is_tested(devkit: Path) -> None:
    lists = devkit / "VOC2007" / "ImageSets" / "Main"
    for file in list(lists.glob("*.txt")):
        split = {"trainval": "train", "test": "val"}[file.stem.split("_")[1]]
        file.rename(file.with_name(f"{file.stem.split('_')[0]}_{split}.txt"))
    assert VOC(f"voc:{devkit}").splits == ("train", "val")


def test_wrong_folders_are_told(devkit: Path, tmp_path: Path) -> None:
    lists = devkit / "VOC2007" / "ImageSets" / "Main"
    with pytest.raises(UserError, match=r"--data voc:PATH .* received: folder:x"):
        VOC("folder:x")
    with pytest.raises(UserError, match="official VOCdevkit folder"):
        VOC(f"voc:{tmp_path / 'none'}")
    text = (lists / "dog_test.txt").read_text()
    for wrong, says in (
        (text[: len(text) // 2], "must hold a photo's name|must name the photos"),
        (text.replace(" 0\n", " 2\n"), "must name the photos .* -1, 0 or 1"),
        (text.replace("000100", "000999"), "must name the photos"),
        (text + "x\n", "a photo's name and -1, 0 or 1 per line"),
    ):
        (lists / "dog_test.txt").write_text(wrong)
        with pytest.raises(UserError, match=says):
            VOC(f"voc:{devkit}").labels("test")
    (lists / "dog_test.txt").unlink()
    with pytest.raises(UserError, match="dog_test.txt must hold"):
        VOC(f"voc:{devkit}").labels("test")
    (lists / "aeroplane_test.txt").unlink()
    with pytest.raises(UserError, match="is the archive of the test set unpacked too"):
        VOC(f"voc:{devkit}")


def test_annotations_are_read_in_edges_from_zero(boxed_devkit: Path, tmp_path: Path) -> None:
    voc = VOC(f"voc:{boxed_devkit}")
    marked = voc.objects("000000")
    (box,) = marked.boxes
    photo = voc.photo("000000")[..., 0].astype(int)
    inside = photo[int(box[0]) : int(box[2]), int(box[1]) : int(box[3])]
    assert inside.min() > 150 and np.count_nonzero(photo > 150) == pytest.approx(inside.size, rel=0.05)
    assert (marked.classes.tolist(), marked.difficult.tolist()) == ([DOG], [False])  # and its head is no object
    file = boxed_devkit / "VOC2007" / "Annotations" / "none.xml"
    for text, says in (
        (None, "No such file"),
        ("<annotation>", "no element found"),
        (XML.format(name="unicorn", difficult=0, left=1, top=1, right=2, bottom=2), "not in tuple"),
        (XML.format(name="dog", difficult=0, left="x", top=1, right=2, bottom=2), "could not convert"),
        (XML.format(name="dog", difficult=0, left=9, top=1, right=2, bottom=2), "a box from 9, 1 to 2, 2"),
        ("<annotation><object><name>dog</name></object></annotation>", "missing"),
    ):
        if text is not None:
            file.write_text(text)
        with pytest.raises(UserError, match=f"Annotations/none.xml of .* received: .*{says}"):
            voc.objects("none")
    file.write_text("<annotation/>")
    assert voc.objects("none").boxes.shape == (0, 4)
    file.write_text(XML.format(name="dog", difficult=1, left="1.0", top=1, right=10, bottom=10))
    assert voc.objects("none").difficult.tolist() == [True]
    assert voc.objects("none").boxes.tolist() == [[0, 0, 10, 10]]
    file.unlink()
    assert VOC(f"voc:{boxed_devkit}").fingerprint() == voc.fingerprint()


def test_another_annotation_is_another_fingerprint(boxed_devkit: Path) -> None:
    file = boxed_devkit / "VOC2007" / "Annotations" / "000000.xml"
    text, before = file.read_text(), VOC(f"voc:{boxed_devkit}").fingerprint()
    file.write_text(text.replace("<difficult>0", "<difficult>1"))
    changed = VOC(f"voc:{boxed_devkit}").fingerprint()
    file.write_text(text)
    assert changed != before == VOC(f"voc:{boxed_devkit}").fingerprint()
