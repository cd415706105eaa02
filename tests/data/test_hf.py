"""hf:NAME: data sets of the library `datasets`, made here."""

from __future__ import annotations

from pathlib import Path

import datasets
import numpy as np
import pytest
from PIL import Image

from tests.support.grey_photos import STILL, levels, write
from tests.support.hub_data import save, split_of
from tests.support.tar_photos import png
from tf_spot.config import PAPER
from tf_spot.data import Source, load
from tf_spot.data.shard_writer import pack
from tf_spot.errors import UserError


def opened(spec: str, **kwargs: object) -> Source:
    return load(f"hf:{spec}", image_size=8, **{"config": STILL, **kwargs})


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    train = split_of([10, 20, 30, 40, 50], [2, 1, 0, 1, 2])
    return save(tmp_path / "insects", train=train, validation=split_of([60, 70], [0, 2]))


def test_labels_are_numbered_as_the_data_set_has_them(saved: Path) -> None:
    source = opened(str(saved))
    assert (source.name, source.class_names) == ("insects", ["wasp", "ant", "bee"])
    (train,), (test,) = source.labelled("train", 8), source.labelled("test", 8)
    assert levels([train[0]]) == [10, 20, 30, 40, 50] and train[1].numpy().tolist() == [2, 1, 0, 1, 2]
    assert levels([test[0]]) == [60, 70] and test[1].numpy().tolist() == [0, 2]
    assert source.photo_path("test", 1) == "test/1"


def test_one_split_alone_loses_a_fifth(tmp_path: Path) -> None:
    split_of(range(100), [0, 1] * 50).save_to_disk(str(tmp_path / "one"))
    source = opened(f"{tmp_path}/one")
    assert 5 <= source.count("test") <= 40 and source.count("train") + source.count("test") == 100
    (images, labels), *_ = source.labelled("test", 64)
    assert [level % 2 for level in levels([images])] == labels.numpy().tolist()
    assert opened(f"{tmp_path}/one,test=none").counts() == {"train": 100}


def test_other_photos_to_train_on(tmp_path: Path) -> None:
    path = save(tmp_path / "stl", train=split_of([1], [0]), unlabelled=split_of(range(100, 110), [-1] * 10))
    source = opened(str(path))
    assert (source.count("train"), source.count("unlabelled")) == (1, 10)
    assert min(levels(source.unlabelled(5, num_steps=2))) == 100


def test_a_folder_of_pictures_and_parquet(tmp_path: Path) -> None:
    write(tmp_path / "photos" / "train" / "bee", 10, 20)
    write(tmp_path / "photos" / "train" / "ant", 30)
    write(tmp_path / "photos" / "test" / "bee", 40)
    source = opened(f"{tmp_path}/photos")
    assert (source.name, source.class_names) == ("photos", ["ant", "bee"])
    (train,) = source.labelled("train", 8)
    assert sorted(zip(levels([train[0]]), train[1].numpy().tolist(), strict=True)) == [(10, 1), (20, 1), (30, 0)]
    split_of([5, 6], [0, 1]).to_parquet(str(tmp_path / "insects.parquet"))
    file = opened(f"{tmp_path}/insects.parquet,test=none")
    assert file.name == "insects.parquet" and levels(file.images("train", 8)) == [5, 6]


def test_photos_are_decoded_as_those_of_a_folder(tmp_path: Path) -> None:
    """EXIF turns the photo; a second one is cut short, a third is no photo, a fourth is not there."""
    photo = Image.fromarray(np.arange(10 * 16 * 3, dtype=np.uint8).reshape(10, 16, 3))
    exif = photo.getexif()
    exif[0x0112] = 6
    photo.save(tmp_path / "turned.jpg", exif=exif)
    contents = [(tmp_path / "turned.jpg").read_bytes(), png(7, "JPEG")[:200], b"no photo", None]
    features = datasets.Features({"image": datasets.Image()})
    cells = [None if content is None else {"bytes": content, "path": "a/b.jpg"} for content in contents]
    datasets.Dataset.from_dict({"image": cells}, features=features).save_to_disk(str(tmp_path / "set"))
    source = opened(f"{tmp_path}/set")
    ((decoded, _),) = source.decoded("train")
    ((expected, _),) = load(f"folder:{tmp_path}", image_size=8, config=STILL).decoded("train")
    assert decoded.shape == (16, 10, 3)
    np.testing.assert_array_equal(decoded, expected)
    bad = source.bad_files
    assert [line.split(":")[0] for line in bad] == ["train/1", "train/2", "train/3"]
    assert "cannot identify" in bad[1] and bad[1].endswith("(b.jpg)") and bad[2].endswith("the row has no photo")
    with pytest.raises(UserError, match="3 cannot be read"):
        opened(f"{tmp_path}/set", strict=True)


def test_a_file_that_is_removed_later_is_told(tmp_path: Path) -> None:
    write(tmp_path / "photos", 10, 20)
    source = opened(f"{tmp_path}/photos")
    (tmp_path / "photos" / "010.png").unlink()
    assert levels(source.images("train", 8)) == [20]
    assert "No such file" in source.bad_files[0]


def test_columns_that_are_named(tmp_path: Path) -> None:
    """Bytes alone, without the type of an image, as files of other programs have them."""
    rows = datasets.Dataset.from_dict({"jpeg": [png(1), png(2)], "kind": ["bee", "ant"]})
    rows.save_to_disk(str(tmp_path / "set"))
    source = opened(f"{tmp_path}/set,image=jpeg,label=kind,test=none")
    assert source.class_names == ["ant", "bee"]
    ((images, labels),) = source.labelled("train", 8)
    assert (levels([images]), labels.numpy().tolist()) == ([1, 2], [1, 0])
    with pytest.raises(UserError, match="must hold encoded photos or paths; received: .*, n of the type"):
        rows.add_column("n", [1.5, 2.5]).save_to_disk(str(tmp_path / "numbers"))
        opened(f"{tmp_path}/numbers,image=n")


def test_the_training_stream_goes_on_where_another_stopped(saved: Path) -> None:
    source = opened(str(saved), config=PAPER.data)
    whole = [batch.numpy() for batch in source.unlabelled(2, seed=5, num_steps=6)]
    rest = [batch.numpy() for batch in source.unlabelled(2, seed=5, first_step=4, num_steps=2)]
    np.testing.assert_array_equal(whole[4:], rest)


def test_the_fingerprint_changes_with_the_photos_and_not_with_the_place(saved: Path, tmp_path: Path) -> None:
    before = opened(str(saved)).fingerprint
    saved.rename(tmp_path / "moved")
    assert opened(f"{tmp_path}/moved").fingerprint == before
    other = save(
        tmp_path / "other", train=split_of([10, 20, 31, 40, 50], [2, 1, 0, 1, 2]), validation=split_of([60, 70], [0, 2])
    )
    assert opened(str(other)).fingerprint != before


def test_it_can_be_packed_and_joined(saved: Path, tmp_path: Path) -> None:
    source = opened(str(saved))
    pack(source, tmp_path / "packed", shard_mb=1)
    packed = load(f"shards:{tmp_path / 'packed'}", image_size=8, config=STILL)
    np.testing.assert_array_equal(list(packed.unlabelled(2, num_steps=4)), list(source.unlabelled(2, num_steps=4)))
    write(tmp_path / "more" / "train" / "bee", 80)
    write(tmp_path / "more" / "train" / "cat", 90)
    joined = load(f"hf:{saved},test=none + folder:{tmp_path / 'more' / 'train'}", image_size=8, config=STILL)
    assert joined.class_names == ["ant", "bee", "cat", "wasp"] and joined.count("train") >= 6
