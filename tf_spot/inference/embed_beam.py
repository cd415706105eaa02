"""The rows of `embed` by an Apache Beam pipeline, for more photos than one machine should work through.

    python -m tf_spot.inference.embed_beam RUN --data SPEC --out PREFIX [--runner NAME ...]

Each worker opens the model and the photos itself and makes the rows of some chunks.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tf_spot.data import Source, load
from tf_spot.data.split import whole_batches
from tf_spot.errors import UserError
from tf_spot.inference.embedder import BATCH_SIZE, Embedder, open_embedder
from tf_spot.inference.embedding_files import schema
from tf_spot.inference.embedding_rows import CHUNK, SPLITS, check_options, facts_of, rows_of, splits_of
from tf_spot.startup import require_tensorflow

if TYPE_CHECKING:
    import pyarrow as pa

USER_ERROR = 2  # exit code, as of `tf-spot`


class Job(NamedTuple):
    """What a worker needs; Beam sends it to each."""

    model: str  # path
    spec: str
    layer: str
    batch_size: int
    chunk: int  # photos, whole batches
    digest: str  # of the model's weights
    fingerprint: str  # of the photos

    def open(self) -> tuple[Embedder, Source]:
        """Open the model and the photos on this worker.

        Raises:
            UserError: they are not those of the machine that started the pipeline.
        """
        embedder, source = _open(self.model, self.spec, self.layer, self.batch_size)
        for what, here, there in (
            (f"weights in {self.model}", embedder.digest, self.digest),
            (f"photos of {self.spec}", source.fingerprint, self.fingerprint),
        ):
            if here != there:
                raise UserError(f"every worker must see the same files; received: other {what} than at the start")
        return embedder, source

    def rows(self, embedder: Embedder, source: Source, split: str, first: int) -> Iterator[dict[str, Any]]:
        """Yield one row per readable photo of the chunk that begins at index `first`."""
        batches = next(source.in_chunks(split, self.batch_size, self.chunk, first=first))
        rows = rows_of(embedder, source, split, batches)
        columns = {name: column if name == "embedding" else column.tolist() for name, column in rows._asdict().items()}
        columns["label"] = [label or None for label in columns["label"]]
        for values in zip(*columns.values(), strict=True):
            yield dict(zip(columns, values, strict=True))


def embed(
    model: str | Path,
    spec: str,
    out: str | Path,
    *,
    layer: str = "conv5",
    split: str = "all",
    batch_size: int = BATCH_SIZE,
    chunk: int = CHUNK,
    options: Sequence[str] = (),
) -> dict[str, Any]:
    """Write the rows of `tf_spot.embed` as files PREFIX-00000-of-0000N.parquet, in no order.

    Args:
        model: see `tf_spot.embed`; every worker must see it under this path.
        spec: photos, see `tf_spot.load`; every worker must see them under this path.
        out: PREFIX, on this machine or in any file system that Beam knows.
        layer: the map that is averaged.
        split: `train`, `test`, or `all`: both.
        batch_size: images at a time.
        chunk: photos that a worker takes at a time, rounded up to whole batches.
        options: Beam's own, such as ["--runner=DirectRunner", "--direct_num_workers=2"].

    Returns:
        `rows`, as Beam counts them, `dim`, and `unreadable` (photos left out).

    Raises:
        UserError: Beam is missing, an unknown layer or split, no run, or files of an earlier job.
    """
    check_options(split, batch_size, chunk)
    if importlib.util.find_spec("apache_beam") is None:
        raise UserError("a pipeline needs apache-beam, which is missing; run pip install tf-spot[beam]")
    embedder, source = _open(str(model), spec, layer, batch_size)
    splits, chunk = splits_of(source, split), whole_batches(chunk, batch_size)
    job = Job(str(model), spec, layer, batch_size, chunk, embedder.digest, source.fingerprint)
    dim = embedder.dim
    # Beam finds no files by a name alone, without a folder.
    prefix = str(out) if "://" in str(out) else os.path.abspath(out)
    layout = schema(dim, facts_of(embedder, source, layer))
    rows = _run(job, chunks(source, splits, chunk), prefix, layout, options)
    return {"rows": rows, "dim": dim, "unreadable": sum(source.count(name) for name in splits) - rows}


def chunks(source: Source, splits: Sequence[str], size: int) -> list[tuple[str, int]]:
    """Return (split, index of its first photo) of every chunk of `size` photos; the last of a split may be smaller."""
    return [(name, first) for name in splits for first in range(0, source.count(name), size)]


def _open(model: str, spec: str, layer: str, batch_size: int) -> tuple[Embedder, Source]:
    embedder = open_embedder(model, layer, batch_size)
    return embedder, load(spec, image_size=embedder.image_size, config=embedder.data)


def _run(job: Job, starts: list[tuple[str, int]], out: str, layout: pa.Schema, options: Sequence[str]) -> int:
    """Run the pipeline to its end; return the number of rows that it wrote."""
    import apache_beam as beam
    from apache_beam.io.filesystems import FileSystems
    from apache_beam.options.pipeline_options import PipelineOptions

    class EmbedChunk(beam.DoFn):
        def setup(self) -> None:  # once per worker, not once per chunk
            self.opened = job.open()

        def process(self, start: tuple[str, int]) -> Iterator[dict[str, Any]]:
            for row in job.rows(*self.opened, *start):
                counter.inc()
                yield row

    beam_options = PipelineOptions(list(options))
    (earlier,) = FileSystems.match([f"{out}-*-of-*.parquet"])
    if earlier.metadata_list:
        raise UserError(f"--out must be a new name; received: {out}, which has files already; remove them")
    counter = beam.metrics.Metrics.counter("tf_spot", "rows")
    pipeline = beam.Pipeline(options=beam_options)
    # Without the reshuffle a runner may leave all chunks to the worker that created them.
    rows = pipeline | "chunks" >> beam.Create(starts) | beam.Reshuffle() | "rows" >> beam.ParDo(EmbedChunk())
    rows | "files" >> beam.io.WriteToParquet(out, layout, file_name_suffix=".parquet")
    result = pipeline.run()
    result.wait_until_finish()
    counters = result.metrics().query(beam.metrics.MetricsFilter().with_name("rows"))["counters"]
    return sum(metric.result for metric in counters)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return the exit code: 0 done, 2 a user's mistake."""
    parser = argparse.ArgumentParser(
        prog="python -m tf_spot.inference.embed_beam",
        description="features of many photos as Parquet files, by an Apache Beam pipeline",
        epilog="All other options are Beam's, such as --runner and --direct_num_workers; they come after RUN.",
        allow_abbrev=False,
    )
    parser.add_argument("run", metavar="RUN", help="run folder, or one that tf-spot export wrote")
    parser.add_argument("--data", metavar="SPEC", required=True, help="photos")
    parser.add_argument("--out", metavar="PREFIX", required=True, help="of files PREFIX-00000-of-0000N.parquet")
    parser.add_argument("--layer", metavar="LAYER", default="conv5", help="conv1 to conv5 (conv5)")
    parser.add_argument("--split", choices=SPLITS, default="all", help="which photos (all)")
    parser.add_argument("--batch-size", metavar="N", type=int, default=BATCH_SIZE, help="images at a time (64)")
    own, beam_options = parser.parse_known_args(arguments)
    try:
        require_tensorflow()
        result = embed(
            own.run,
            own.data,
            own.out,
            layer=own.layer,
            split=own.split,
            batch_size=own.batch_size,
            options=beam_options,
        )
    except UserError as error:
        print(f"tf-spot: {' '.join(str(error).split())}", file=sys.stderr)
        return USER_ERROR
    print("\n".join(f"{name:26} {value}" for name, value in result.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
