"""Embed many photos into one file, one row per photo.

Rows are made in chunks, each kept in a file of its own until all are there; then they are joined. So memory does not
grow with the number of photos, and a job that was stopped goes on with the missing chunks.
"""

from __future__ import annotations

import json
import logging
import shutil
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tf_spot.data import Source, load
from tf_spot.data.split import whole_batches
from tf_spot.data.unreadable import unreadable
from tf_spot.distributed.strategies import agree, is_chief, leave, num_workers
from tf_spot.errors import UserError
from tf_spot.inference.embedder import BATCH_SIZE, Embedder, open_embedder
from tf_spot.inference.embedding_files import (
    COLUMNS,
    EARLIER_COLUMNS,
    check_file,
    count_rows,
    ids_of,
    is_whole,
    join_files,
)
from tf_spot.inference.embedding_rows import CHUNK, check_options, facts_of, rows_of, splits_of
from tf_spot.progress import Progress
from tf_spot.storage.files import write_file, write_json
from tf_spot.storage.json_files import read_json
from tf_spot.storage.lock import LOCK, sole_writer
from tf_spot.storage.names import fitting

log = logging.getLogger("tf_spot")


class Chunk(NamedTuple):
    """Consecutive photos of a split, and the file that holds their rows once they are made."""

    file: Path
    first: int  # index
    photos: int


def embed(
    model: str | Path,
    spec: str,
    out: str | Path,
    *,
    layer: str = "conv5",
    split: str = "all",
    batch_size: int = BATCH_SIZE,
    resume: bool = False,
    chunk: int = CHUNK,
    on_progress: Progress | None = None,
) -> dict[str, Any]:
    """Write one row per readable photo, with the columns of `EmbeddingRows`.

    Inside a strategy's scope the devices of this machine share each batch. Of several workers, which must all see the
    folder of `out`, each makes the rows of its own photos on one device, and the chief joins them.

    The id is the photo's index, those of `train` first and those of `test` after them, so an unreadable photo leaves a
    gap. The path is that within the source. The label is the name of the class; where there is none, null in a Parquet
    file and "" in an .npz file. The metadata of a Parquet file has `tf_spot.layer`, `tf_spot.model_sha256` and more.

    Args:
        model: a run folder, a name of `load_pretrained`, or a folder that `tf-spot export` wrote with the part
            `features`.
        spec: photos, see `tf_spot.load`.
        out: FILE.parquet, with a row group per chunk, or FILE.npz, with arrays of the same names; replaced if there.
        layer: the map that is averaged.
        split: `train`, `test`, or `all`: both.
        batch_size: images at a time.
        resume: go on with a stopped job for this file, if there is one.
        chunk: photos whose rows are made and kept together, rounded up to whole batches.
        on_progress: called with (photos done, photos, text).

    Returns:
        `rows`, `dim` and `unreadable` (photos left out).

    Raises:
        UserError: an unknown layer, split or file ending, no run, a stopped job that was another one, or a job for this
            file that is running.
    """
    out, strategy = Path(out), tf.distribute.get_strategy()
    check_file(out)
    check_options(split, batch_size, chunk)
    embedder = open_embedder(model, layer, batch_size)
    source = load(spec, image_size=embedder.image_size, config=embedder.data)
    splits, chunk_size = splits_of(source, split), whole_batches(chunk, batch_size)
    job: dict[str, Any] = {"model": embedder.digest, "layer": layer, "data": source.fingerprint, "splits": splits}
    job |= {"batch_size": batch_size, "chunk": chunk_size, "images": [embedder.image_size, asdict(embedder.data)]}
    folder = out.with_name(fitting(f".{out.name}", ".parts"))
    with sole_writer(folder, "embedding", output=out) if is_chief(strategy) else nullcontext():
        columns = _begin_together(strategy, folder, job, resume)
        facts = facts_of(embedder, source, layer)
        rows = _write(strategy, embedder, source, splits, chunk_size, folder, columns, out, facts, on_progress)
    photos = sum(map(source.count, splits))
    if not rows:
        raise UserError(f"there must be photos that can be read; received: {spec} with {photos} that cannot")
    leave(strategy)
    return {"rows": rows, "dim": embedder.dim, "unreadable": photos - rows}


def _write(
    strategy: tf.distribute.Strategy,
    embedder: Embedder,
    source: Source,
    splits: list[str],
    chunk_size: int,
    folder: Path,
    columns: Sequence[str],
    out: Path,
    facts: Mapping[str, str],
    on_progress: Progress | None,
) -> int:
    """Make the chunks and join them; return the number of rows."""
    dim = embedder.dim  # the first batch runs here, after everything that may refuse the job
    chunks = {name: _chunks(folder, name, source.count(name), chunk_size) for name in splits}
    own = {name: _own(strategy, of_split) for name, of_split in chunks.items()}
    total, done = sum(chunk.photos for of_split in own.values() for chunk in of_split), 0
    for name, of_split in own.items():
        for photos in _make(of_split, columns, embedder, source, name, chunk_size):
            done += photos
            if on_progress is not None:
                on_progress(done, total, "embedding photos")
    agree(strategy, 1, "end of the chunks")
    files = [chunk.file for name in splits for chunk in chunks[name]]
    rows = count_rows(files)
    if rows:
        agree(strategy, rows, "number of rows")  # all have counted the rows of the chunks that the chief now removes
        if is_chief(strategy):
            join_files(out, files, dim, facts)
            _tell_unreadable(source, splits, ids_of(files))
            shutil.rmtree(folder)
        agree(strategy, 1, "file")  # the chief has written it
    return rows


def _begin_together(strategy: tf.distribute.Strategy, folder: Path, job: dict[str, Any], resume: bool) -> Sequence[str]:
    """Let the chief begin; the other workers wait for it, and must do the same job in the same folder.

    Returns:
        the columns of the rows.
    """
    if is_chief(strategy):
        _begin(folder, job, resume)
    agree(strategy, zlib.crc32(json.dumps(job).encode()), "job")
    agree(strategy, int((folder / "job.json").is_file()), "folder of --out")
    columns: Sequence[str] = read_json(folder / "job.json").get("columns", EARLIER_COLUMNS)
    return columns


def _begin(folder: Path, job: dict[str, Any], resume: bool) -> None:
    """Make the folder of chunks, or find those of the same job that was stopped."""
    record = folder / "job.json"
    if resume and record.is_file():
        begun = read_json(record)
        # Earlier versions recorded no "images", and no "columns".
        changes = [name for name, value in job.items() if value != begun.get(name, value)]
        if changes:
            raise UserError(
                f"--resume needs the job that was stopped; received one with another {', '.join(changes)}; repeat the "
                "first command, or leave out --resume to begin anew"
            )
        return
    for left in folder.iterdir():
        if left.name != LOCK:
            left.unlink()
    write_json(record, job | {"columns": COLUMNS})


def _chunks(folder: Path, split: str, count: int, size: int) -> list[Chunk]:
    """Cut a split of `count` photos into chunks of `size`; the last one may be smaller."""
    starts = range(0, count, size)
    return [
        Chunk(folder / f"{split}-{number:06}.npz", start, min(size, count - start))
        for number, start in enumerate(starts)
    ]


def _own(strategy: tf.distribute.Strategy, chunks: list[Chunk]) -> list[Chunk]:
    """Return the chunks that this worker makes: consecutive ones, as a stream of photos reads on best."""
    workers = num_workers(strategy)
    worker = strategy.cluster_resolver.task_id if workers > 1 else 0
    return chunks[worker * len(chunks) // workers : (worker + 1) * len(chunks) // workers]


def _make(
    chunks: list[Chunk], columns: Sequence[str], embedder: Embedder, source: Source, split: str, chunk_size: int
) -> Iterator[int]:
    """Make the chunks that do not exist yet; yield the number of photos of each chunk once it is there."""
    missing = [chunk for chunk in chunks if not is_whole(chunk.file, columns)]
    # In an earlier version the path was that within the split.
    path_of = source.photo_path if "split" in columns else source.photo_name
    first = missing[0].first if missing else 0
    stream = source.in_chunks(split, embedder.batch_size, chunk_size, first=first)
    for chunk in chunks:
        if missing and chunk.first >= first:
            batches = next(stream)  # of a chunk that exists too: the stream goes on with the one after it
            if chunk in missing:
                rows = rows_of(embedder, source, split, batches, path_of)
                write_file(chunk.file, partial(rows.save, columns=columns))
        yield chunk.photos


def _tell_unreadable(source: Source, splits: list[str], ids: np.ndarray) -> None:
    """Log which photos have no row; `ids` are those of the rows, (rows,)."""
    names = []
    for split in splits:
        first = source.count("train") if split == "test" else 0
        missing = np.setdiff1d(np.arange(first, first + source.count(split)), ids) - first
        names += [source.photo_path(split, index) for index in missing.tolist()]
    if names:
        log.warning("%s", unreadable(names))
