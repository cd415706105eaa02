"""Features of many photos as one file: a row a photo.

Rows are made in chunks, each kept in a file of its own until all are there; then they are joined. So memory does not
grow with the number of photos, and a job that was stopped goes on with the chunks that are missing.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tf_spot.config import LAYERS, PAPER, Config, DataConfig
from tf_spot.data import Source, load
from tf_spot.data.split import Batch, whole_batches
from tf_spot.distributed.strategies import agree, is_chief, leave, num_workers
from tf_spot.errors import UserError
from tf_spot.exporters import run_artifact as reopen
from tf_spot.exporters.manifest import check_sums, read_manifest
from tf_spot.features.pooling import averaged
from tf_spot.features.prefetch import ahead, one_at_a_time
from tf_spot.progress import Progress
from tf_spot.runs.load import load_spotter
from tf_spot.runs.run import Run
from tf_spot.storage.files import file_digest, write_file, write_json

ENDINGS = (".parquet", ".npz")
SPLITS = ("train", "test", "all")
CHUNK = 4096  # photos, about: a row group of the Parquet file, and what a stopped job loses at most


class Embedder(NamedTuple):
    """What makes vectors of images, and what is to be known about it."""

    embed: Callable[[Any], np.ndarray]  # images (batch, height, width, 3) in [-1, 1] to float32 (batch, dim)
    image_size: int
    data: DataConfig  # how photos become images
    digest: str  # changes when the weights do

    def __call__(self, images: Any) -> np.ndarray:
        return self.embed(images)

    def dim(self, batch_size: int) -> int:
        """Values of a vector; asked first, with as many images as are to come at a time, all batches are alike."""
        blank = np.zeros((batch_size, self.image_size, self.image_size, 3), np.float32)
        return int(self.embed(blank).shape[1])


class Part(NamedTuple):
    """Some rows."""

    id: np.ndarray  # int64 (rows,)
    path: np.ndarray  # text (rows,)
    embedding: np.ndarray  # float32 (rows, dim)

    @classmethod
    def load(cls, path: Path) -> Part:
        with np.load(path) as columns:
            return cls(*(columns[name] for name in cls._fields))

    def save(self, path: Path) -> None:
        with path.open("wb") as file:
            np.savez(file, **self._asdict())


def embed(
    model: str | Path,
    spec: str,
    out: str | Path,
    *,
    layer: str = "conv5",
    split: str = "all",
    batch_size: int = 64,
    resume: bool = False,
    chunk: int = CHUNK,
    on_progress: Progress | None = None,
) -> dict[str, Any]:
    """Writes one row a readable photo: `id` (int64), `path` (text) and `embedding` (float32).

    Inside a strategy's scope the devices of this machine share each batch. Of several workers, which must all see the
    folder of `out`, each makes rows of its own photos on one device, and the first joins them.

    The id is the photo's place: those of `train` first, those of `test` after them, so an unreadable photo leaves a
    gap. The path is the photo's name within the source.

    Args:
        model: a run folder, or a folder that `tf-spot export` wrote with the part `features`.
        spec: photos, see `tf_spot.load`.
        out: FILE.parquet, with a row group a chunk, or FILE.npz, with arrays of the same names; replaced when there.
        layer: the map to average.
        split: `train`, `test`, or `all`: both.
        batch_size: images at a time.
        resume: go on with the job for this file that was stopped, if one was.
        chunk: photos whose rows are made and kept together, rounded up to whole batches.
        on_progress: told (photos done, photos, text).

    Returns:
        `rows`, `dim` and `unreadable` (photos left out).

    Raises:
        UserError: an unknown layer, split or file ending, no run, or a stopped job that was another.
    """
    out, strategy = Path(out), tf.distribute.get_strategy()
    _check_file(out)
    check_options(split, batch_size, chunk)
    embedder = open_embedder(model, layer)
    source = load(spec, image_size=embedder.image_size, config=embedder.data)
    splits = splits_of(source, split)
    chunk = whole_batches(chunk, batch_size)
    job = {"model": embedder.digest, "layer": layer, "data": source.fingerprint, "splits": splits}
    folder = out.with_name(f".{out.name}.parts")
    _begin_together(strategy, folder, job | {"batch_size": batch_size, "chunk": chunk}, resume)
    dim = embedder.dim(batch_size)
    own = {name: _own(strategy, folder, name, source.count(name), chunk) for name in splits}
    total, done = sum(photos for parts in own.values() for _, photos in parts.values()), 0
    for name in splits:
        for photos in _made(own[name], embedder, source, name, batch_size, chunk):
            done += photos
            if on_progress is not None:
                on_progress(done, total, "embedding photos")
    agree(strategy, 1, "end of the parts")
    photos = sum(source.count(name) for name in splits)
    files = [file for name in splits for file in _files(folder, name, source.count(name), chunk)]
    rows, _ = _sizes(files)
    if not rows:
        raise UserError(f"there must be photos that can be read; received: {spec} with {photos} that cannot")
    agree(strategy, rows, "number of rows")  # all have read the parts, which the first now removes
    if is_chief(strategy):
        _join(out, files, dim)
        shutil.rmtree(folder)
    agree(strategy, 1, "file")  # the first has written it
    leave(strategy)
    return {"rows": rows, "dim": dim, "unreadable": photos - rows}


def open_embedder(path: str | Path, layer: str = "conv5") -> Embedder:
    """The embedder of a run, or of what `tf-spot export` wrote: the average of `layer` over the map.

    Raises:
        UserError: no trained spotter in `path`, or an unknown layer.
    """
    if layer not in LAYERS:
        raise UserError(f"--layer must be one of {', '.join(LAYERS)}; received: {layer}")
    if (Path(path) / "manifest.json").is_file():
        return _open_artifact(Path(path), layer)
    run = Run(path)
    backbone = load_spotter(run).backbone
    digest = hashlib.sha256()
    for weight in backbone.weights:
        digest.update(np.ascontiguousarray(weight.numpy()).tobytes())
    config = run.config.data
    return Embedder(averaged(backbone, layer), config.image_size, config, digest.hexdigest())


def _open_artifact(folder: Path, layer: str) -> Embedder:
    """An exported model, run by its own runtime."""
    manifest = read_manifest(folder)
    if manifest["part"] != "features":
        raise UserError(f"embed wants the exported part `features`; received: {folder}, {manifest['part']}")
    check_sums(folder)
    kind, artifact = manifest["format"], str(folder / manifest["artifact"])
    try:
        if kind == "saved_model":
            model = reopen.open_saved_model(artifact)[0]
        elif kind == "tflite":
            model = reopen.open_tflite(artifact, threads=os.cpu_count())
        else:
            model = reopen.open_onnx(artifact)
    except ImportError as error:
        extra = {"tflite": "litert", "onnx": "onnx"}[kind]
        raise UserError(f"{kind} needs {error.name}, which is missing; run pip install tf-spot[{extra}]") from error

    def embed_images(images: Any) -> np.ndarray:
        answers = model(np.asarray((images + 1) * 127.5, np.float32))  # it takes [0, 255]
        return answers["embedding"] if layer == "conv5" else answers[layer].mean((1, 2))

    config = Config.from_dict(manifest["config"]).data if manifest["config"] else PAPER.data
    digest = file_digest(folder / "SHA256SUMS")
    images = manifest["inputs"]["images"]
    size = images["shape"][1] or images["trained_size"]  # None: it takes any
    return Embedder(one_at_a_time(embed_images), size, config, digest)


def splits_of(source: Source, split: str) -> list[str]:
    """The splits that `split` names: itself, or for `all` those that there are.

    Raises:
        UserError: there is no such split.
    """
    if split == "test" and not source.has_test:
        raise UserError(f"--split test wants photos with a test split; received: {source.spec}, which has none")
    if split == "all":
        return ["train", "test"] if source.has_test else ["train"]
    return [split]


def check_options(split: str, batch_size: int, chunk: int) -> None:
    """Raises a UserError for an unknown split, and for a batch or chunk of nothing."""
    if split not in SPLITS:
        raise UserError(f"--split must be one of {', '.join(SPLITS)}; received: {split}")
    if batch_size < 1 or chunk < 1:
        raise UserError(f"--batch-size and the chunk must be 1 or more; received: {batch_size} and {chunk}")


def _check_file(out: Path) -> None:
    if out.suffix not in ENDINGS:
        raise UserError(f"--out must end in {' or '.join(ENDINGS)}; received: {out}")
    if out.suffix == ".parquet" and importlib.util.find_spec("pyarrow") is None:
        raise UserError("Parquet needs pyarrow, which is missing; run pip install tf-spot[embed], or write FILE.npz")


def _begin_together(strategy: Any, folder: Path, job: dict[str, Any], resume: bool) -> None:
    """Of several workers the first begins; the others wait for it, and must do the same job in the same folder."""
    if is_chief(strategy):
        _begin(folder, job, resume)
    agree(strategy, zlib.crc32(json.dumps(job).encode()), "job")
    agree(strategy, int((folder / "job.json").is_file()), "folder of --out")


def _begin(folder: Path, job: dict[str, Any], resume: bool) -> None:
    """Makes the folder of parts, or finds those of the same job that was stopped."""
    record = folder / "job.json"
    if resume and record.is_file():
        begun = json.loads(record.read_text(encoding="utf-8"))
        changes = [name for name in job if job[name] != begun.get(name)]
        if changes:
            raise UserError(
                f"--resume wants the job that was stopped; received one with another {', '.join(changes)}; repeat the "
                "first command, or leave out --resume to begin anew"
            )
        return
    shutil.rmtree(folder, ignore_errors=True)
    write_json(record, job)


def _files(folder: Path, split: str, count: int, chunk: int) -> list[Path]:
    """The parts of a split of `count` photos."""
    return [folder / f"{split}-{number:06}.npz" for number in range(-(-count // chunk))]


def _own(strategy: Any, folder: Path, split: str, count: int, chunk: int) -> dict[int, tuple[Path, int]]:
    """{number: (file, photos)} of the parts that this worker makes: a row of them."""
    files, workers = _files(folder, split, count, chunk), num_workers(strategy)
    worker = strategy.cluster_resolver.task_id if workers > 1 else 0
    own = range(worker * len(files) // workers, (worker + 1) * len(files) // workers)
    return {number: (files[number], min(chunk, count - number * chunk)) for number in own}


def _made(
    parts: dict[int, tuple[Path, int]], embedder: Embedder, source: Source, split: str, batch_size: int, chunk: int
) -> Iterator[int]:
    """The photos of every part, after making those that are not there yet."""
    missing = [number for number, (file, _) in parts.items() if not file.is_file()]
    chunks = source.in_chunks(split, batch_size, chunk, first=missing[0] * chunk if missing else 0)
    for number, (file, photos) in parts.items():
        if missing and number >= missing[0]:
            batches = next(chunks)
            if number in missing:
                write_file(file, rows_of(embedder, source, split, batches).save)
        yield photos


def rows_of(embedder: Embedder, source: Source, split: str, batches: Iterable[Batch]) -> Part:
    """The rows of some photos of a split, in the photos' order."""
    given = ((batch.images, batch.indices) for batch in batches)
    made: list[tuple[np.ndarray, np.ndarray]] = list(ahead(embedder.embed, given))
    places = np.concatenate([places for _, places in made] or [np.empty(0, np.int64)])
    vectors = np.concatenate([vectors for vectors, _ in made] or [np.empty((0, 0), np.float32)])
    order = np.argsort(places)
    paths = [_text(source.photo_name(split, place)) for place in places[order].tolist()]
    first = source.count("train") if split == "test" else 0
    return Part(first + places[order], np.array(paths, np.str_), vectors[order])


def _text(name: str) -> str:
    """A name whose bytes are not UTF-8, spelled out."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _sizes(files: list[Path]) -> tuple[int, np.dtype[Any]]:
    """(rows, type of the longest path) of all parts."""
    rows, longest = 0, np.dtype("<U1")
    for part in map(Part.load, files):
        rows, longest = rows + len(part.id), max(longest, part.path.dtype, key=lambda kind: kind.itemsize)
    return rows, longest


def _join(out: Path, files: list[Path], dim: int) -> None:
    join = _join_parquet if out.suffix == ".parquet" else _join_npz
    write_file(out, lambda aside: join(aside, files, dim))


def schema(dim: int) -> Any:
    """The columns of a Parquet file: `id`, `path` and `embedding`, a list of `dim` numbers."""
    import pyarrow as pa

    vectors = pa.list_(pa.float32(), dim)
    return pa.schema([("id", pa.int64()), ("path", pa.string()), ("embedding", vectors)])


def _join_parquet(path: Path, files: list[Path], dim: int) -> None:
    """One row group a part; a part without rows has none."""
    import pyarrow as pa
    from pyarrow import parquet

    layout = schema(dim)
    with parquet.ParquetWriter(path, layout) as writer:
        for part in map(Part.load, files):
            if len(part.id):
                embedding = pa.FixedSizeListArray.from_arrays(pa.array(part.embedding.ravel()), dim)
                columns = [pa.array(part.id), pa.array(part.path.tolist(), pa.string()), embedding]
                writer.write_table(pa.Table.from_arrays(columns, schema=layout), row_group_size=len(part.id))


def _join_npz(path: Path, files: list[Path], dim: int) -> None:
    """Array after array, part after part, as `np.savez` would write them from memory."""
    rows, text = _sizes(files)
    columns = {
        "id": (np.dtype(np.int64), (rows,)),
        "path": (text, (rows,)),
        "embedding": (np.dtype("<f4"), (rows, dim)),
    }
    with zipfile.ZipFile(path, "w", allowZip64=True) as archive:
        for name, (kind, shape) in columns.items():
            head = {"descr": np.lib.format.dtype_to_descr(kind), "fortran_order": False, "shape": shape}
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array_header_1_0(file, head)
                for part in map(Part.load, files):
                    file.write(getattr(part, name).astype(kind).tobytes())
