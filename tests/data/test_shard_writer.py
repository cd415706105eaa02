"""Packing: what the shards hold, bad photos, going on after a stop, and damage that is found and named."""

from __future__ import annotations

import os
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tests.support.noise_photos import noise_photos
from tf_spot.data import load
from tf_spot.data.shard_writer import pack, verify
from tf_spot.errors import UserError


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return noise_photos(tmp_path / "shots")


def opened(spec: object, image_size: int = 8):
    return load(str(spec), image_size=image_size)


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_shards_hold_the_files_as_they_are(photos, tmp_path):
    """Read with TensorFlow's own reader, which checks its own checksums."""
    index = pack(opened(f"folder:{photos}"), tmp_path / "out", shard_mb=0.004, workers=2)
    assert index["splits"] == {"train": 20, "test": 6} and index["bad_files"] == 0
    assert index["class_names"] == ["ant", "bee"] and index["source"] == "shots"
    assert len(index["shards"]) > 4
    found = []
    for entry in index["shards"]:
        records = list(tf.data.TFRecordDataset(str(tmp_path / "out" / entry["name"])).as_numpy_iterator())
        assert len(records) == entry["records"]
        with np.load(tmp_path / "out" / entry["places"]) as places:
            assert places["checksums"].tolist() == [zlib.crc32(record) for record in records]
        for record in records:
            feature = tf.train.Example.FromString(record).features.feature
            image, name, split = (feature[key].bytes_list.value[0] for key in ("image", "name", "split"))
            path = photos / split.decode() / name.decode()
            assert image == path.read_bytes()
            assert feature["label"].int64_list.value[0] == ["ant", "bee"].index(path.parent.name)
            assert split.decode() == entry["split"]
            found.append(path)
    assert len(found) == 26 and set(found) == {path for path in photos.rglob("*.*") if path.is_file()}


def test_a_union_keeps_the_files_of_its_sources_as_they_are(photos, arrays, tmp_path):
    """Photos of the other source, which are no files, become PNG."""
    pack(opened(f"folder:{photos} + {arrays}"), tmp_path / "out")
    packed = opened(f"shards:{tmp_path / 'out'}").pools()["train"]
    contents = {packed.name(index): packed.encoded(index) for index in range(len(packed))}
    files = {name: content for name, content in contents.items() if name.startswith("shots/")}
    assert len(files) == 20 < len(contents)
    for name, content in contents.items():
        if name in files:
            assert content == (photos / "train" / name.removeprefix("shots/")).read_bytes()
        else:
            assert content.startswith(b"\x89PNG")


@pytest.fixture
def arrays(tmp_path: Path) -> str:
    """Photos that are no files: 96x96 noise, about 27 kB each as PNG."""
    random = np.random.default_rng(0)
    for split, count in (("train", 60), ("test", 10)):
        random.integers(0, 256, (count, 3, 96, 96), np.uint8).tofile(tmp_path / f"{split}_X.bin")
        (np.arange(count, dtype=np.uint8) % 10 + 1).tofile(tmp_path / f"{split}_y.bin")
    return f"stl10:{tmp_path}"


def test_arrays_become_png(arrays, tmp_path):
    source = opened(arrays)
    pack(source, tmp_path / "out", shard_mb=1)
    packed = opened(f"shards:{tmp_path / 'out'}", 96)
    assert packed.class_names == source.class_names
    for split, index in (("train", 0), ("train", 59), ("test", 9)):
        before, after = source.pools()[split], packed.pools()[split]
        np.testing.assert_array_equal(after.read(index), before.read(index))
        assert after.encoded(index).startswith(b"\x89PNG")
        assert after.name(index) == before.name(index)
        assert after.labels[index] == before.labels[index]


def test_shards_are_about_as_large_as_asked(arrays, tmp_path):
    """60 photos of 28 kB are 1.7 MB: six shards of at most 0.3 MB."""
    index = pack(opened(arrays), tmp_path / "out", shard_mb=0.3)
    sizes = [entry["bytes"] for entry in index["shards"] if entry["split"] == "train"]
    assert len(sizes) == 6 and min(sizes) > 0.25e6 and max(sizes) < 0.32e6


def test_bad_photos_are_left_out_and_listed(photos, tmp_path):
    (photos / "train" / "ant" / "2.jpg").write_bytes(b"no picture")
    cut = photos / "test" / "bee" / "1.png"
    cut.write_bytes(cut.read_bytes()[:200])
    index = pack(opened(f"folder:{photos}"), tmp_path / "out")
    assert index["splits"] == {"train": 19, "test": 5} and index["bad_files"] == 2
    listed = (tmp_path / "out" / "bad_files.txt").read_text().splitlines()
    assert [line.partition(":")[0] for line in listed] == ["ant/2.jpg", "bee/1.png"]
    assert opened(f"shards:{tmp_path / 'out'}").count("train") == 19
    with pytest.raises(UserError, match=r"--strict.*(ant/2.jpg|bee/1.png)"):  # splits are packed side by side
        pack(opened(f"folder:{photos}"), tmp_path / "strict", strict=True)
    with pytest.raises(
        UserError, match=r"--strict.*(ant/2.jpg|bee/1.png)"
    ):  # shards that are there already do not hide it
        pack(opened(f"folder:{photos}"), tmp_path / "out", strict=True)


@pytest.mark.parametrize("workers", [1, 4])
def test_a_stopped_pack_goes_on(photos, tmp_path, workers):
    class Stop(Exception):
        pass

    def stop(done: int, total: int, text: str) -> None:
        assert (total, text) == (26, "packing photos")
        if done >= 8:
            raise Stop

    source = opened(f"folder:{photos}")
    pack(source, tmp_path / "whole", shard_mb=0.004)
    with pytest.raises(Stop):
        pack(source, tmp_path / "out", shard_mb=0.004, workers=workers, on_progress=stop)
    with pytest.raises(UserError, match="must be a folder that tf-spot pack has finished"):
        opened(f"shards:{tmp_path / 'out'}")
    finished = [path.with_suffix(".tfrecord") for path in (tmp_path / "out").glob("t*-of-*.json")]
    done = {path: path.stat().st_mtime_ns for path in finished}
    assert done
    pack(source, tmp_path / "out", shard_mb=0.004, workers=workers)
    assert files(tmp_path / "out") == files(tmp_path / "whole")
    assert {path: path.stat().st_mtime_ns for path in done} == done


KILL_IN_THE_MIDDLE = """
import os, signal, sys
from tf_spot.data import load
from tf_spot.data.shard_writer import pack
def kill(done, total, text):
    if done >= total // 2:
        os.kill(os.getpid(), signal.SIGKILL)
pack(load(sys.argv[1], image_size=8), sys.argv[2], shard_mb=0.004, workers=2, on_progress=kill)
"""


@pytest.mark.slow
def test_a_killed_pack_goes_on(photos, tmp_path):
    done = subprocess.run([sys.executable, "-c", KILL_IN_THE_MIDDLE, f"folder:{photos}", str(tmp_path / "out")])
    assert done.returncode == -9
    source = opened(f"folder:{photos}")
    pack(source, tmp_path / "whole", shard_mb=0.004)
    pack(source, tmp_path / "out", shard_mb=0.004)
    finished = {name: data for name, data in files(tmp_path / "out").items() if not name.startswith(".writing-")}
    assert finished == files(tmp_path / "whole")


def alter(path: Path, place: int = -30) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(bytes(content))


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda path: os.truncate(path, path.stat().st_size - 1), "bytes instead of"),
        (alter, "was altered"),
        (Path.unlink, "is missing"),
    ],
)
def test_damaged_shards_are_found_and_written_anew(photos, tmp_path, spoil, says):
    source, out = opened(f"folder:{photos}"), tmp_path / "out"
    pack(source, out, shard_mb=0.004)
    whole = files(out)
    assert verify(out) == {}
    name = next(name for name in whole if name.startswith("train-00001") and name.endswith(".tfrecord"))
    spoil(out / name)
    damaged = verify(out)
    assert list(damaged) == [name] and says in damaged[name]
    pack(source, out, shard_mb=0.004)
    assert files(out) == whole and verify(out) == {}


def test_another_pack_in_the_folder_is_refused(photos, tmp_path):
    source = opened(f"folder:{photos}")
    pack(source, tmp_path / "out")
    with pytest.raises(UserError, match="differs in shard_mb"):
        pack(source, tmp_path / "out", shard_mb=3)
    (photos / "train" / "ant" / "0.jpg").unlink()
    with pytest.raises(UserError, match="differs in source_fingerprint"):
        pack(opened(f"folder:{photos}"), tmp_path / "out")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("mine")
    with pytest.raises(UserError, match="new or empty folder"):
        pack(source, tmp_path / "other")


@pytest.mark.parametrize("values", [{"shard_mb": 0}, {"workers": 0}])
def test_values_out_of_range_are_refused(photos, tmp_path, values):
    with pytest.raises(UserError, match="--shard-mb must be above 0"):
        pack(opened(f"folder:{photos}"), tmp_path / "out", **values)


class Million:
    """Photos of 8x8 pixels made from their number."""

    labels = None

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def read(self, index: int) -> np.ndarray:
        values = np.frombuffer(index.to_bytes(4, "little") * 48, np.uint8)
        return values.reshape(8, 8, 3)

    def name(self, index: int) -> str:
        return f"{index:07}"


PACK_AND_TRAIN = """
import resource, sys
sys.path.insert(0, sys.argv[3])
from tests.data.test_shard_writer import Million
from tf_spot.config import PAPER
from tf_spot.data import Source, load
from tf_spot.data.shard_writer import pack
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
count, out = int(sys.argv[1]), sys.argv[2]
source = Source.from_images("made", "made", Million(count), None, image_size=8, config=PAPER.data, fingerprint="1")
pack(source, out, shard_mb=4)
packed = peak()
shards = load(f"shards:{out}", image_size=8)
import numpy as np
from tf_spot.config import preset
from tf_spot.training.train import train
config = preset("tiny").replace(**{
    "data.image_size": 16, "network.width": 0.125, "network.fc_units": 8, "game.history_batches": 2,
    "training.batch_size": 16, "training.autoencoder_steps": 2, "training.spotter_steps": 3,
    "training.steps_per_epoch": 2, "training.checkpoint_steps": 100, "training.probe_epochs": 1000,
    "training.picture_epochs": 1000,
})
train(config, f"shards:{out}", out + "-run")
print(shards.count("train"), packed, peak())
"""


@pytest.mark.slow
def test_a_large_source_packs_and_trains_in_constant_memory(tmp_path):
    """Fifty times the photos may cost their places and names (about 40 bytes a photo, held a few times), no more."""
    peaks = {}
    for count in (4_000, 200_000):
        done = subprocess.run(
            [
                sys.executable,
                "-c",
                PACK_AND_TRAIN,
                str(count),
                str(tmp_path / str(count)),
                str(Path(__file__).parents[2]),
            ],
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        found, *peaks[count] = (float(word) for word in done.stdout.split()[-3:])
        assert found == count
    growth = np.subtract(peaks[200_000], peaks[4_000])  # MiB, after packing and after training
    assert growth.max() < 200_000 * 200 / 2**20, peaks


def test_a_second_pack_into_the_folder_is_refused(photos, tmp_path):
    source, refused = opened(f"folder:{photos}"), []

    def second(done, total, text):
        with pytest.raises(UserError, match="only one pack at a time"):
            pack(source, tmp_path / "out", workers=1)
        refused.append(done)

    index = pack(source, tmp_path / "out", shard_mb=0.004, workers=1, on_progress=second)
    assert refused and not verify(tmp_path / "out") and index["splits"] == {"train": 20, "test": 6}
    assert not (tmp_path / "out" / ".lock").exists()
    assert opened(f"shards:{tmp_path / 'out'}").photo_path("test", 0).startswith("test/")


@pytest.mark.parametrize("damage", ["{", "[]", '{"name": 1}'])
def test_a_damaged_record_of_a_shard_is_made_anew(photos, tmp_path, damage):
    index = pack(opened(f"folder:{photos}"), tmp_path / "out")
    (tmp_path / "out" / "train-00000-of-00001.json").write_text(damage)
    assert pack(opened(f"folder:{photos}"), tmp_path / "out") == index
