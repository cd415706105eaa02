"""wds:PATTERN: photos in tars behave as those of a folder do."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from tests.support.grey_photos import STILL, levels, write
from tests.support.tar_photos import png, samples, write_tar
from tf_spot.config import PAPER
from tf_spot.data import Source, load
from tf_spot.data.shard_writer import pack
from tf_spot.errors import UserError


def opened(spec: str, **kwargs: object) -> Source:
    return load(f"wds:{spec}", image_size=8, **{"config": STILL, **kwargs})


@pytest.fixture
def tars(tmp_path: Path) -> Path:
    """Two tars to train on and one to test on."""
    write_tar(tmp_path / "set" / "x-train-000.tar", samples(10, 20, label="bee") | samples(30, label="ant"))
    write_tar(tmp_path / "set" / "x-train-001.tar", samples(40, 50, label="ant"))
    write_tar(tmp_path / "set" / "x-val-000.tar", samples(60, label="ant") | samples(70, label="bee"))
    return tmp_path / "set"


@pytest.mark.parametrize("pattern", ["", "/*.tar", "/x-{train-{000..001},val-000}.tar"])
def test_splits_are_in_the_names_of_the_tars(tars: Path, pattern: str) -> None:
    source = opened(f"{tars}{pattern}")
    assert (source.name, source.class_names) == ("set", ["ant", "bee"])
    (train,), (test,) = source.labelled("train", 8), source.labelled("test", 8)
    assert levels([train[0]]) == [10, 20, 30, 40, 50] and train[1].numpy().tolist() == [1, 1, 0, 0, 0]
    assert levels([test[0]]) == [60, 70] and test[1].numpy().tolist() == [0, 1]
    assert source.photo_path("train", 3) == "x-train-001.tar/040.png"


def test_tars_to_train_on_alone_lose_a_fifth_of_their_labelled_photos(tmp_path: Path) -> None:
    write_tar(tmp_path / "a.tar", samples(*range(50), label="0") | samples(*range(100, 150), label="1"))
    source = opened(f"{tmp_path}/a.tar")
    assert source.name == "a" and 5 <= source.count("test") <= 40
    assert source.count("train") + source.count("test") == 100
    assert not opened(f"{tmp_path}/a.tar,test=none").has_test
    assert not opened(f"{tmp_path}/a.tar,label=none").has_labels


def test_splits_that_are_named(tars: Path) -> None:
    source = opened(f"{tars}/x-val-000.tar,test={tars}/x-train-{{000..001}}.tar")
    assert (source.count("train"), source.count("test")) == (2, 5)
    everything = opened(f"{tars},test=none")
    assert (everything.count("train"), everything.has_test) == (7, False)


@pytest.mark.parametrize(
    ("pattern", "says"),
    [
        ("x-val-000.tar", "train, test or val, or that of none; .*only x-val-000.tar and the like; .*test=none"),
        ("*.tar", "where other.tar says none or several"),
    ],
)
def test_names_that_do_not_fit(tars: Path, pattern: str, says: str) -> None:
    write_tar(tars / "other.tar", samples(1, label="ant"))
    with pytest.raises(UserError, match=says):
        opened(f"{tars}/{pattern}")


def test_test_comes_before_validation(tars: Path) -> None:
    write_tar(tars / "x-test-0.tar", samples(90, label="ant"))
    (test,) = opened(f"{tars}").images("test", 8)
    assert levels([test]) == [90]


def test_the_training_stream_is_an_exact_shuffle_of_all_tars(tars: Path) -> None:
    source = opened(f"{tars}")
    seen = levels(source.unlabelled(5, num_steps=3))
    epochs = [seen[:5], seen[5:10], seen[10:]]
    assert all(sorted(epoch) == [10, 20, 30, 40, 50] for epoch in epochs) and epochs[0] != epochs[1]
    varied = opened(f"{tars}", config=PAPER.data)
    whole = [batch.numpy() for batch in varied.unlabelled(2, seed=5, num_steps=5)]
    rest = [batch.numpy() for batch in varied.unlabelled(2, seed=5, first_step=3, num_steps=2)]
    np.testing.assert_array_equal(whole[3:], rest)


def test_bad_photos_are_left_out_and_named(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", {"1.png": 1, "2.jpg": "no photo", "3.jpg": "", "4.jpg": png(4, "JPEG")[:200]})
    source = opened(str(path))
    assert levels(source.images("train", 8)) == [1]
    bad = dict(line.split(": ", 1) for line in source.bad_files)
    assert sorted(bad) == ["a.tar/2.jpg", "a.tar/3.jpg", "a.tar/4.jpg"]
    assert "cannot identify" in bad["a.tar/2.jpg"] and "a link" in bad["a.tar/3.jpg"]
    with pytest.raises(UserError, match="3 cannot be read"):
        opened(str(path), strict=True)


def test_a_tar_that_is_cut_short_or_removed_later_is_told(tars: Path) -> None:
    source = opened(f"{tars}")
    os.truncate(tars / "x-train-001.tar", 530)  # within the first photo
    (tars / "x-val-000.tar").unlink()
    assert levels(source.images("train", 8)) == [10, 20, 30]
    assert levels(source.images("test", 8)) == []
    assert "x-train-001.tar/040.png: the tar is shorter than when it was opened" in "\n".join(source.bad_files)
    assert "x-val-000.tar/060.png: No such file" in "\n".join(source.bad_files)


def test_tars_without_photos(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_tar(tmp_path / "a.tar", {"1.txt": "words"})
    with pytest.raises(UserError, match=r"must hold photos \(jpg, .*a.tar and the like"):
        opened(f"{tmp_path}")
    write_tar(tmp_path / "b.tar", {"1.png": 1})
    assert opened(f"{tmp_path}").count("train") == 1
    assert "1 of 2 tars hold no photos, the first is a.tar" in caplog.text


def test_the_fingerprint_changes_with_the_photos_and_not_with_the_place(tars: Path, tmp_path: Path) -> None:
    before = opened(f"{tars}").fingerprint
    tars.rename(tmp_path / "moved")
    assert opened(f"{tmp_path}/moved").fingerprint == before
    write_tar(tmp_path / "moved" / "x-train-001.tar", samples(40, 50, label="bee"))
    assert opened(f"{tmp_path}/moved").fingerprint != before


def test_tars_can_be_packed_and_joined(tars: Path, tmp_path: Path) -> None:
    source = opened(f"{tars}")
    pack(source, tmp_path / "packed", shard_mb=1)
    packed = load(f"shards:{tmp_path / 'packed'}", image_size=8, config=STILL)
    np.testing.assert_array_equal(list(packed.unlabelled(2, num_steps=4)), list(source.unlabelled(2, num_steps=4)))
    write(tmp_path / "more" / "train" / "ant", 80)
    write(tmp_path / "more" / "train" / "cat", 90)
    write(tmp_path / "more" / "val" / "ant", 95)
    write(tmp_path / "more" / "val" / "cat", 97)
    joined = load(f"wds:{tars} + folder:{tmp_path / 'more'}", image_size=8, config=STILL)
    assert joined.class_names == ["ant", "bee", "cat"] and joined.counts() == {"train": 7, "test": 4}
