"""shards:PATH gives what the source gave that was packed."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tf_spot.data import load
from tf_spot.data.shard_writer import pack, verify
from tf_spot.data.shards import FORMAT, INDEX
from tf_spot.errors import UserError


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Two classes: 60 photos to train on, of which some are held out, and 6 to test on."""
    random = np.random.default_rng(0)
    folder = tmp_path_factory.mktemp("photos")
    for split, count in (("train", 30), ("val", 3)):
        for label in ("ant", "bée"):
            (folder / split / label).mkdir(parents=True)
            for i in range(count):
                Image.fromarray(random.integers(0, 256, (12, 16, 3), np.uint8)).save(
                    folder / split / label / f"{i}.png"
                )
    return folder


@pytest.fixture(scope="module")
def packed(folder, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("packs") / "out"
    index = pack(load(f"folder:{folder}", image_size=8), out, shard_mb=0.01)
    assert len(index["shards"]) > 3
    return out


def both(folder, packed):
    return (load(spec, image_size=8, seed=3) for spec in (f"folder:{folder}", f"shards:{packed}"))


def test_a_source_of_shards_is_the_source_that_was_packed(folder, packed):
    source, shards = both(folder, packed)
    assert shards.name == source.name and shards.class_names == source.class_names == ["ant", "bée"]
    assert shards.has_labels and shards.has_test and shards.spec == f"shards:{packed}"
    for split in ("train", "test", "held_out", "unlabelled"):
        assert shards.count(split) == source.count(split) > 0
    names = [shards.pools()["train"].name(i) for i in range(60)]
    assert names == [source.pools()["train"].name(i) for i in range(60)] and names[-1].startswith("bée/")


@pytest.mark.parametrize("first_step", [0, 17])
def test_the_training_stream_is_the_same_across_shards(folder, packed, first_step):
    """The same photos, crops and colours in the same places: shuffling knows no borders between shards."""
    source, shards = both(folder, packed)
    expected = source.unlabelled(5, first_step=first_step, num_steps=15)
    found = shards.unlabelled(5, first_step=first_step, num_steps=15)
    np.testing.assert_array_equal(list(found), list(expected))


def test_labelled_and_held_out_photos_are_the_same(folder, packed):
    source, shards = both(folder, packed)
    for split in ("train", "test"):
        for (images, labels), (expected, classes) in zip(
            shards.labelled(split, 4), source.labelled(split, 4), strict=True
        ):
            np.testing.assert_array_equal(images, expected)
            np.testing.assert_array_equal(labels, classes)
    for images, expected in zip(shards.held_out(4), source.held_out(4), strict=True):
        np.testing.assert_array_equal(images, expected)


def test_the_fingerprint_is_of_the_photos_not_of_the_shards(folder, packed, tmp_path):
    again = load(f"shards:{packed}", image_size=8)
    pack(again, tmp_path / "one", shard_mb=100)  # shards can be packed anew
    one = load(f"shards:{tmp_path / 'one'}", image_size=8)
    assert len(list((tmp_path / "one").glob("*.tfrecord"))) == 2
    assert one.fingerprint == again.fingerprint
    np.testing.assert_array_equal(list(one.unlabelled(4, num_steps=4)), list(again.unlabelled(4, num_steps=4)))


def test_unlabelled_photos_of_their_own(tmp_path):
    """As STL-10 has them: other photos are trained on than those with labels."""
    random = np.random.default_rng(0)
    for split, count in (("train", 4), ("test", 3), ("unlabeled", 20)):
        random.integers(0, 256, (count, 3, 96, 96), np.uint8).tofile(tmp_path / f"{split}_X.bin")
        (np.arange(count, dtype=np.uint8) % 10 + 1).tofile(tmp_path / f"{split}_y.bin")
    source = load(f"stl10:{tmp_path}", image_size=48)  # PNG files of 96 pixels are not shrunk for it
    pack(source, tmp_path / "out", shard_mb=0.2)
    shards = load(f"shards:{tmp_path / 'out'}", image_size=48)
    assert [shards.count(split) for split in ("train", "test", "unlabelled")] == [4, 3, source.count("unlabelled")]
    np.testing.assert_array_equal(list(shards.unlabelled(4, num_steps=6)), list(source.unlabelled(4, num_steps=6)))
    ((_, labels),) = shards.labelled("train", 8)
    assert labels.numpy().tolist() == [0, 1, 2, 3]


def copied(packed: Path, out: Path) -> tuple[Path, Path]:
    out.mkdir()
    for path in packed.iterdir():
        (out / path.name).write_bytes(path.read_bytes())
    return out, sorted(out.glob("train-*.tfrecord"))[1]


def test_an_altered_photo_is_named_and_left_out(packed, tmp_path):
    out, shard = copied(packed, tmp_path / "out")
    content = bytearray(shard.read_bytes())
    content[200] ^= 1  # within the first record
    shard.write_bytes(bytes(content))
    source = load(f"shards:{out}", image_size=8)
    assert sum(len(labels) for _, labels in source.labelled("train", 8)) == 59
    (line,) = source.bad_files
    assert f"{shard.name} was altered after it was packed" in line and "--verify" in line
    with pytest.raises(UserError, match=shard.name):
        load(f"shards:{out}", image_size=8, strict=True)


@pytest.mark.parametrize("ending", [".tfrecord", ".npz"])
@pytest.mark.parametrize("spoil", ["truncate", "remove"])
def test_a_shard_cut_short_or_missing_is_named(packed, tmp_path, ending, spoil):
    out, shard = copied(packed, tmp_path / "out")
    file = shard.with_suffix(ending)
    if spoil == "truncate":
        os.truncate(file, file.stat().st_size // 2)
    else:
        file.unlink()
    with pytest.raises(UserError, match=file.name):
        load(f"shards:{out}", image_size=8)


def test_an_altered_table_of_places_is_named(packed, tmp_path):
    out, shard = copied(packed, tmp_path / "out")
    table = shard.with_suffix(".npz")
    content = bytearray(table.read_bytes())
    content[len(content) // 2] ^= 1
    table.write_bytes(bytes(content))
    with pytest.raises(UserError, match=f"{table.name} was altered"):
        load(f"shards:{out}", image_size=8)


@pytest.mark.parametrize("content", [None, "{", "[]", '{"format": "tf_spot shards 0"}'])
def test_what_is_no_finished_pack_is_refused(tmp_path, content):
    if content is not None:
        (tmp_path / "index.json").write_text(content)
    with pytest.raises(UserError, match="index.json"):
        load(f"shards:{tmp_path}", image_size=8)


@pytest.mark.parametrize("field", ["name", "places"])
@pytest.mark.parametrize("path", ["/etc/hostname", "../out/index.json"])
def test_an_index_that_names_files_elsewhere_is_refused(packed, tmp_path, field: str, path: str) -> None:
    copy = Path(shutil.copytree(packed, tmp_path / "copy"))
    index = json.loads((copy / "index.json").read_text())
    index["shards"][0][field] = path
    (copy / "index.json").write_text(json.dumps(index))
    for read in (lambda: load(f"shards:{copy}", image_size=8), lambda: verify(copy)):
        with pytest.raises(UserError, match="paths in index.json of .* stay inside it; received: .*" + path):
            read()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            lambda index: index["shards"][0].update(bytes="9"),
            r"shards\[0\].bytes must be a whole number, not text",
        ),
        (lambda index: index["shards"][0].pop("places"), r"which lacks shards\[0\].places"),
        (lambda index: index.update(splits=[]), "where splits must be an object, not a list"),
        (lambda index: index.update(class_names=3), "where class_names must be a list or null"),
    ],
)
def test_an_index_of_another_form_is_named(tmp_path, change, says):
    entry = dict.fromkeys(("name", "split", "sha256", "places", "places_sha256"), "x")
    index = {"format": FORMAT, "source": "x", "class_names": None, "splits": {"train": 1}}
    index["shards"] = [entry | {"bytes": 1, "places_bytes": 1}]
    change(index)
    (tmp_path / INDEX).write_text(json.dumps(index))
    with pytest.raises(UserError, match=f"received: .*index.json, .*{says}"):
        load(f"shards:{tmp_path}", image_size=8)
