"""Pack a source into shards: few large files instead of many small ones, read back as shards:PATH.

Which photos go into which shard is fixed before the first is written, so shards are written in parallel, and a pack
that was stopped goes on with the missing ones.
"""

from __future__ import annotations

import contextlib
import os
import threading
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tf_spot.data.images import BadImage, Images
from tf_spot.data.shard_records import encoded_photo, write_records
from tf_spot.data.shards import ENTRY, FORMAT, INDEX, RecordTable, damage, read_index
from tf_spot.data.source import Source
from tf_spot.errors import UserError
from tf_spot.progress import Progress
from tf_spot.storage.files import file_digest, write_file, write_json, write_text
from tf_spot.storage.json_files import DamagedFile, read_json
from tf_spot.storage.lock import LOCK, sole_writer

PLAN = "plan.json"  # what is being packed, written first
SAMPLES = 64  # photos of a split by which the number of photos of a shard is estimated
RECORD_BYTES = 100  # of a record beside the photo and its name, about
MEGABYTE = 1_000_000


class Shard(NamedTuple):
    """The photos `start` up to `stop`, indices in a split."""

    split: str
    number: int
    of: int  # shards of the split
    start: int
    stop: int

    @property
    def stem(self) -> str:
        """Its files' name, without the ending."""
        return f"{self.split}-{self.number:05}-of-{self.of:05}"


def pack(
    source: Source,
    out: str | Path,
    *,
    shard_mb: float = 256.0,
    workers: int | None = None,
    strict: bool = False,
    on_progress: Progress | None = None,
) -> dict[str, Any]:
    """Write the photos of `source` to shards in `out`, or go on with a pack that was stopped.

    Files are packed as they are; photos that are no files become PNG. Every photo is decoded once: those that cannot
    be decoded are left out and listed in bad_files.txt. Shards that exist and are whole are kept.

    Args:
        source: any but tfds:NAME, see `tf_spot.load`.
        out: a new or empty folder, or one where the same was being packed.
        shard_mb: size of a shard in millions of bytes, about.
        workers: shards written at the same time; None: as many as there are cores.
        strict: raise when a photo cannot be read.
        on_progress: called with (photos done, photos, text).

    Returns:
        the content of index.json.

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
    with sole_writer(folder, "pack"):
        return _pack(folder, plan, pools, shard_mb, workers, strict, on_progress)


def _pack(
    folder: Path,
    plan: dict[str, Any],
    pools: dict[str, Images],
    shard_mb: float,
    workers: int,
    strict: bool,
    on_progress: Progress | None,
) -> dict[str, Any]:
    """Write what is missing of a pack, as the only process that writes the folder; return the content of index.json."""
    _begin(folder, plan)
    shards = [shard for split, images in pools.items() for shard in _plan(split, images, shard_mb * MEGABYTE)]
    entries = _write_all(folder, pools, shards, workers, strict, on_progress)
    bad = [line for entry in entries for line in entry.pop("bad")]
    counts = {split: sum(e["records"] for e in entries if e["split"] == split) for split in pools}
    if not counts["train"]:
        raise UserError(f"{plan['spec']} must hold photos that can be read; received {len(bad)} that cannot; {bad[0]}")
    index = plan | {"splits": counts, "bad_files": len(bad), "shards": entries}
    write_text(folder / "bad_files.txt", "".join(f"{line}\n" for line in bad))
    write_json(folder / INDEX, index)
    return index


def verify(path: str | Path, on_progress: Progress | None = None) -> dict[str, str]:
    """Read every shard of a finished pack in full and return the damaged ones: {shard: what is wrong with it}.

    Raises:
        UserError: `path` is not a finished pack.
    """
    folder = Path(path)
    entries = read_index(folder)["shards"]
    damaged = {}
    for done, entry in enumerate(entries, 1):
        wrong = damage(folder, entry, full=True)
        if wrong is not None:
            damaged[entry["name"]] = wrong
        if on_progress is not None:
            on_progress(done, len(entries), "verifying shards")
    return damaged


def _begin(folder: Path, plan: dict[str, Any]) -> None:
    """Begin a pack in an empty folder, or check that it holds the same pack, begun before."""
    if not (folder / PLAN).is_file():
        if any(entry.name not in (LOCK, f".writing-{PLAN}") for entry in folder.iterdir()):
            raise UserError(f"--out must be a new or empty folder, or one of tf-spot pack; received: {folder}")
        write_json(folder / PLAN, plan)
        return
    begun = read_json(folder / PLAN)
    # The same photos may lie under another path by now.
    changes = [name for name in plan if plan[name] != begun.get(name) and name != "spec"]
    if changes:
        raise UserError(
            f"{folder} holds another pack, of {begun.get('spec')} at --shard-mb {begun.get('shard_mb')}: it differs in "
            f"{', '.join(changes)}; pack into another folder"
        )


def _plan(split: str, images: Images, shard_bytes: float) -> list[Shard]:
    """Cut a split into shards of about the same number of photos, by the sizes of `SAMPLES` of them."""
    samples = np.unique(np.linspace(0, len(images) - 1, SAMPLES).astype(int))
    sizes = [size for index in samples if (size := _size(images, int(index))) is not None]
    each = max(1, int(shard_bytes / (float(np.mean(sizes or [0])) + RECORD_BYTES)))
    of = -(-len(images) // each)  # rounded up
    starts = [number * len(images) // of for number in range(of + 1)]  # none much smaller than the others
    return [Shard(split, n, of, starts[n], starts[n + 1]) for n in range(of)]


def _size(images: Images, index: int) -> int | None:
    """Return the bytes of a photo and its name; None if it cannot be read."""
    try:
        return len(encoded_photo(images, index)) + len(images.name(index))
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
    """Write the shards that do not exist yet; return the entries of index.json for all, in order."""
    total, done = sum(len(images) for images in pools.values()), 0
    stop = threading.Event()
    entries: dict[Shard, dict[str, Any]] = {}
    with ThreadPoolExecutor(workers) as pool:
        waiting = {pool.submit(_make, folder, pools[shard.split], shard, strict, stop): shard for shard in shards}
        try:
            for future in as_completed(waiting):
                shard = waiting[future]
                entries[shard] = future.result()
                done += shard.stop - shard.start
                if on_progress is not None:
                    on_progress(done, total, "packing photos")
        except BaseException:  # Ctrl-C as well: the shards being written are abandoned, those written stay
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise
    return [entries[shard] for shard in shards]


def _make(folder: Path, images: Images, shard: Shard, strict: bool, stop: threading.Event) -> dict[str, Any]:
    """Write a shard unless it exists and is whole; return its entry."""
    record = folder / f"{shard.stem}.json"
    if record.is_file():
        with contextlib.suppress(DamagedFile):  # written anew
            entry: dict[str, Any] = read_json(record, ENTRY | {"bad": [str]})
            if damage(folder, entry, full=True) is None and not (strict and entry["bad"]):
                return entry
    bad: list[str] = []
    tables: list[RecordTable] = []  # `write_file` returns nothing, so the table comes out by this list
    shard_file, table_file = (folder / f"{shard.stem}{ending}" for ending in (".tfrecord", ".npz"))
    photos = range(shard.start, shard.stop)
    write_file(
        shard_file, lambda aside: tables.append(write_records(aside, images, shard.split, photos, bad, strict, stop))
    )
    write_file(table_file, tables[0].save)
    entry = {
        "name": shard_file.name,
        "split": shard.split,
        "records": len(tables[0].offsets),
        "bytes": shard_file.stat().st_size,
        "sha256": file_digest(shard_file),
        "places": table_file.name,
        "places_bytes": table_file.stat().st_size,
        "places_sha256": file_digest(table_file),
        "bad": bad,
    }
    write_json(record, entry)  # last: without it the shard counts as missing
    return entry
