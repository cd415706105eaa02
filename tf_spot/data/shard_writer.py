"""Packing a source into shards: few large files where it had many small ones, read back as shards:PATH.

Which photos go into which shard is fixed before the first is written, so shards are written side by side, and a pack
that was stopped goes on with those that are missing.
"""

from __future__ import annotations

import io
import json
import os
import threading
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from PIL import Image

from tf_spot.data.images import BadImage, Images
from tf_spot.data.shards import FOOTER_BYTES, FORMAT, HEADER_BYTES, INDEX, Places, damage, read_index
from tf_spot.errors import UserError
from tf_spot.progress import Progress
from tf_spot.storage.files import file_digest, write_file, write_json, write_text

PLAN = "plan.json"  # what is being packed, written first
SAMPLES = 64  # photos of a split that are looked at to guess how many fill a shard
RECORD_BYTES = 100  # of a record beside the photo and its name, about
MEGABYTE = 1_000_000


class Shard(NamedTuple):
    """Photos `start` up to `stop` of a split."""

    split: str
    number: int
    of: int
    start: int
    stop: int

    @property
    def stem(self) -> str:
        return f"{self.split}-{self.number:05}-of-{self.of:05}"


def pack(
    source: Any,
    out: str | Path,
    *,
    shard_mb: float = 256.0,
    workers: int | None = None,
    strict: bool = False,
    on_progress: Progress | None = None,
) -> dict[str, Any]:
    """Writes the photos of `source` to shards in `out`, or goes on doing so.

    Files are packed as they are; photos that are no files become PNG. Every photo is decoded once: those that cannot
    be are left out and listed in bad_files.txt. Shards that are there and whole are kept.

    Args:
        source: any but tfds:NAME, see `tf_spot.load`.
        out: a new or empty folder, or one where the same was being packed.
        shard_mb: about how large a shard is to be, in millions of bytes.
        workers: shards written at the same time; by default as many as there are cores.
        strict: raise when a photo cannot be read.
        on_progress: told (photos done, photos, text).

    Returns:
        what index.json holds.

    Raises:
        UserError: `out` holds something else, a value out of range, or with `strict` an unreadable photo.
    """
    workers = os.cpu_count() or 1 if workers is None else workers
    if shard_mb <= 0 or workers < 1:
        raise UserError(f"--shard-mb must be above 0 and --workers 1 or more; received: {shard_mb} and {workers}")
    folder, pools = Path(out), source.pools()
    plan = {
        "format": FORMAT,
        "source": source.name,
        "spec": source.spec,
        "source_fingerprint": source.fingerprint,
        "class_names": source.class_names,
        "shard_mb": shard_mb,
    }
    _begin(folder, plan)
    shards = [shard for split, images in pools.items() for shard in _plan(split, images, shard_mb * MEGABYTE)]
    entries = _write_all(folder, pools, shards, workers, strict, on_progress)
    bad = [line for entry in entries for line in entry.pop("bad")]
    counts = {split: sum(e["records"] for e in entries if e["split"] == split) for split in pools}
    if not counts["train"]:
        raise UserError(f"{source.spec} must hold photos that can be read; received {len(bad)} that cannot; {bad[0]}")
    index = plan | {"splits": counts, "bad_files": len(bad), "shards": entries}
    write_text(folder / "bad_files.txt", "".join(f"{line}\n" for line in bad))
    write_json(folder / INDEX, index)
    return index


def verify(path: str | Path, on_progress: Progress | None = None) -> dict[str, str]:
    """Reads every shard of a finished pack in full: {shard: what is wrong with it}, empty when all is well.

    Raises:
        UserError: `path` is no finished pack.
    """
    folder = Path(path)
    entries = read_index(folder)["shards"]
    found = {}
    for done, entry in enumerate(entries, 1):
        wrong = damage(folder, entry, full=True)
        if wrong is not None:
            found[entry["name"]] = wrong
        if on_progress is not None:
            on_progress(done, len(entries), "verifying shards")
    return found


def _begin(folder: Path, plan: dict[str, Any]) -> None:
    """Makes the folder, or finds in it the pack that is to go on."""
    if folder.exists() and not folder.is_dir():
        raise UserError(f"--out must be a folder; received: {folder}, a file")
    if not (folder / PLAN).is_file():
        if folder.is_dir() and any(entry.name != f".writing-{PLAN}" for entry in folder.iterdir()):
            raise UserError(f"--out must be a new or empty folder, or one of tf-spot pack; received: {folder}")
        write_json(folder / PLAN, plan)
        return
    begun = json.loads((folder / PLAN).read_text(encoding="utf-8"))
    changes = [name for name in plan if plan[name] != begun.get(name) and name != "spec"]
    if changes:
        raise UserError(
            f"{folder} holds another pack, of {begun.get('spec')} at --shard-mb {begun.get('shard_mb')}: it differs in "
            f"{', '.join(changes)}; pack into another folder"
        )


def _plan(split: str, images: Images, shard_bytes: float) -> list[Shard]:
    """Cuts a split into shards of the same number of photos, judged by the size of some."""
    places = np.unique(np.linspace(0, len(images) - 1, SAMPLES).astype(int))
    sizes = [size for place in places if (size := _size(images, int(place))) is not None]
    each = max(1, int(shard_bytes / (float(np.mean(sizes or [0])) + RECORD_BYTES)))
    of = -(-len(images) // each)
    starts = [number * len(images) // of for number in range(of + 1)]  # none much smaller than the others
    return [Shard(split, n, of, starts[n], starts[n + 1]) for n in range(of)]


def _size(images: Images, place: int) -> int | None:
    try:
        return len(_encoded(images, place)) + len(images.name(place))
    except BadImage:
        return None


def _write_all(
    folder: Path,
    pools: dict[str, Images],
    shards: list[Shard],
    workers: int,
    strict: bool,
    on_progress: Progress | None,
) -> list[dict[str, Any]]:
    """The entries of index.json, after writing the shards that are not there yet."""
    total, done = sum(len(images) for images in pools.values()), 0
    stop = threading.Event()
    found: dict[Shard, dict[str, Any]] = {}
    with ThreadPoolExecutor(workers) as pool:
        waiting = {pool.submit(_make, folder, pools[shard.split], shard, strict, stop): shard for shard in shards}
        try:
            for future in as_completed(waiting):
                shard = waiting[future]
                found[shard] = future.result()
                done += shard.stop - shard.start
                if on_progress is not None:
                    on_progress(done, total, "packing photos")
        except BaseException:  # Ctrl-C as well: the shards being written are given up, those written stay
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise
    return [found[shard] for shard in shards]


def _make(folder: Path, images: Images, shard: Shard, strict: bool, stop: threading.Event) -> dict[str, Any]:
    """The entry of a shard, which is written unless it is there and whole."""
    record = folder / f"{shard.stem}.json"
    if record.is_file():
        entry: dict[str, Any] = json.loads(record.read_text(encoding="utf-8"))
        if damage(folder, entry, full=True) is None and not (strict and entry["bad"]):
            return entry
    bad: list[str] = []
    places: list[Places] = []
    shard_file, places_file = (folder / f"{shard.stem}{ending}" for ending in (".tfrecord", ".npz"))
    write_file(shard_file, lambda aside: places.append(_write(aside, images, shard, bad, strict, stop)))
    write_file(places_file, lambda aside: _save(aside, places[0]))
    entry = {
        "name": shard_file.name,
        "split": shard.split,
        "records": len(places[0].offsets),
        "bytes": shard_file.stat().st_size,
        "sha256": file_digest(shard_file),
        "places": places_file.name,
        "places_bytes": places_file.stat().st_size,
        "places_sha256": file_digest(places_file),
        "bad": bad,
    }
    write_json(record, entry)
    return entry


def _write(path: Path, images: Images, shard: Shard, bad: list[str], strict: bool, stop: threading.Event) -> Places:
    """Writes the records of a shard; unreadable photos go to `bad`."""
    rows: list[tuple[int, int, int, int, int]] = []
    names = bytearray()
    offset = 0
    with tf.io.TFRecordWriter(str(path)) as writer:
        for index, image in _readable(images, shard, bad, strict):
            if stop.is_set():
                raise InterruptedError("packing was stopped")
            name = os.fsencode(images.name(index))
            label = -1 if images.labels is None else int(images.labels[index])
            content = _example(image, label, name, shard.split)
            writer.write(content)
            names += name
            rows.append((offset + HEADER_BYTES, len(content), zlib.crc32(content), label, len(names)))
            offset += HEADER_BYTES + len(content) + FOOTER_BYTES
    offsets, lengths, checksums, labels, name_ends = np.array(rows, np.int64).reshape(-1, 5).T
    return Places(
        offsets.astype(np.uint64),
        lengths.astype(np.uint32),
        checksums.astype(np.uint32),
        labels.astype(np.int32),
        name_ends.astype(np.uint64),
        np.frombuffer(bytes(names), np.uint8),
    )


def _readable(images: Images, shard: Shard, bad: list[str], strict: bool) -> Iterator[tuple[int, bytes]]:
    """(place, encoded photo) of the photos of a shard that can be decoded."""
    for index in range(shard.start, shard.stop):
        try:
            yield index, _encoded(images, index)
        except BadImage as error:
            line = f"{images.name(index)}: {error}"
            if strict:
                raise UserError(f"with --strict every photo must be readable; received: {line}; mend it") from error
            bad.append(line)


def _encoded(images: Images, index: int) -> bytes:
    """The photo's file as it is, decoded once to see that it can be; a PNG where it is no file."""
    photo = images.read(index)
    encoded = getattr(images, "encoded", None)
    if encoded is not None:
        content: bytes = encoded(index)
        return content
    buffer = io.BytesIO()
    Image.fromarray(photo).save(buffer, format="PNG")
    return buffer.getvalue()


def _example(image: bytes, label: int, name: bytes, split: str) -> bytes:
    feature, values, whole = tf.train.Feature, tf.train.BytesList, tf.train.Int64List
    features = {
        "image": feature(bytes_list=values(value=[image])),
        "label": feature(int64_list=whole(value=[label])),
        "name": feature(bytes_list=values(value=[name])),
        "split": feature(bytes_list=values(value=[split.encode()])),
    }
    example = tf.train.Example(features=tf.train.Features(feature=features))
    content: bytes = example.SerializeToString(deterministic=True)  # the same photos give the same file
    return content


def _save(path: Path, places: Places) -> None:
    with path.open("wb") as file:
        np.savez(file, **places._asdict())
