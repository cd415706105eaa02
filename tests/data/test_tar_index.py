"""The photos and labels of one tar."""

from __future__ import annotations

import gzip
import tarfile
from pathlib import Path

import pytest

from tests.support.tar_photos import png, write_tar
from tf_spot.data.tar_index import read_photos
from tf_spot.errors import UserError

LONG = "a-folder-whose-name-is-long/" * 6


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_every_photo_lies_at_its_offset(tmp_path: Path, form: int) -> None:
    folder = LONG if form != tarfile.USTAR_FORMAT else "a/"
    names = [f"{folder}{level}.PNG" for level in (3, 1, 2)]
    path = write_tar(tmp_path / "a.tar", dict(zip(names, (3, 1, 2), strict=True)), form)
    photos = read_photos(path)
    assert [photo.name for photo in photos] == names and {photo.label for photo in photos} == {None}
    content = path.read_bytes()
    assert [content[p.offset : p.offset + p.size] for p in photos] == [png(3), png(1), png(2)]


def test_labels(tmp_path: Path) -> None:
    members = {
        "1.cls": "7\n",
        "1.jpg": 1,
        "2.png": 2,
        "2.json": '{"label": 8, "fine": "x"}',
        "3.jpeg": 3,
        "3.txt": "a bee",
    }
    members |= {"4.webp": 4, "4.json": '{"class": "ant"}', "5.jpg": 5, "5.json": "[1]", "6.txt": "no photo"}
    path = write_tar(tmp_path / "a.tar", members)
    assert [photo.label for photo in read_photos(path)] == ["7", "8", None, "ant", None]
    assert [photo.label for photo in read_photos(path, label="fine")] == [None, "x", None, None, None]
    assert [photo.label for photo in read_photos(path, label=".txt")] == [None, None, "a bee", None, None]
    assert {photo.label for photo in read_photos(path, label="none")} == {None}


def test_the_same_name_in_another_folder_is_another_sample(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", {"x/1.jpg": 1, "x/1.cls": "x", "y/1.cls": "y", "y/1.jpg": 2})
    assert [photo.label for photo in read_photos(path)] == ["x", "y"]


def test_hidden_files_are_no_samples(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", {"._1.jpg": "resource", "1.jpg": 1, "d/.hidden.png": 2})
    assert [photo.name for photo in read_photos(path)] == ["1.jpg"]


def test_a_link_is_a_photo_without_content(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", {"1.jpg": 1})
    with tarfile.open(path, "a") as tar:
        link = tarfile.TarInfo("2.jpg")
        link.type, link.linkname = tarfile.LNKTYPE, "1.jpg"
        tar.addfile(link)
    assert [(photo.name, photo.size > 0) for photo in read_photos(path)] == [("1.jpg", True), ("2.jpg", False)]


def test_several_photos_of_a_sample(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", {"1.rgb.png": 1, "1.seg.png": 2})
    with pytest.raises(UserError, match=r"must have one photo; .*1.rgb.png and 1.seg.png; choose one: .*image=ENDING"):
        read_photos(path)
    assert [photo.name for photo in read_photos(path, image="rgb.png")] == ["1.rgb.png"]


@pytest.mark.parametrize(
    ("members", "says"),
    [
        ({"1.jpg": 1, "1.json": "{"}, "label of a sample must be text or JSON; .*a.tar, 1: "),
        ({"1.jpg": 1, "1.json": '{"label": 1.5}'}, "text or a whole number; .*a.tar, 1: 1.5; choose"),
        ({"1.jpg": 1, "1.json": '{"label": true}'}, "text or a whole number; .*True"),
        ({"1.jpg": 1, "1.cls": b"\xff"}, "must be text or JSON"),
    ],
)
def test_labels_that_do_not_fit(tmp_path: Path, members: dict[str, bytes | int | str], says: str) -> None:
    with pytest.raises(UserError, match=says):
        read_photos(write_tar(tmp_path / "a.tar", members))


def test_a_compressed_tar_is_refused(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", {"1.jpg": 1})
    path.write_bytes(gzip.compress(path.read_bytes()))
    with pytest.raises(UserError, match="must not be compressed.*with gzip; decompress it"):
        read_photos(path)


@pytest.mark.parametrize("cut", [0, 100, 700, 1100, 1700])
def test_a_tar_that_is_cut_short_is_told(tmp_path: Path, cut: int) -> None:
    """Two photos, each of a header of 512 bytes and one block of content."""
    path = write_tar(tmp_path / "a.tar", {"1.png": 1, "2.png": 2}, tarfile.USTAR_FORMAT)
    assert len(png(1)) < 512
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(UserError, match="must name complete tars; received: .*a.tar"):
        read_photos(path)


def test_a_damaged_header_is_not_taken_for_the_end(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", {"1.png": 1, "2.png": 2}, tarfile.USTAR_FORMAT)
    content = bytearray(path.read_bytes())
    content[1024] ^= 1  # of the second header
    path.write_bytes(bytes(content))
    with pytest.raises(UserError, match="damaged or joined to another at byte 1,024"):
        read_photos(path)


def test_joined_tars_are_told(tmp_path: Path) -> None:
    one, other = (write_tar(tmp_path / name, {f"{name}.jpg": 1}) for name in ("a.tar", "b.tar"))
    one.write_bytes(one.read_bytes() + other.read_bytes())
    with pytest.raises(UserError, match="joined to another"):
        read_photos(one)


def test_what_is_no_tar(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_text("no tar" * 200)
    with pytest.raises(UserError, match="must name complete tars"):
        read_photos(tmp_path / "a.tar")
