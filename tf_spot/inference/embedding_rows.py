"""The rows of an embedding: which photos have one, and how it is made."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

import numpy as np

from tf_spot import __version__
from tf_spot.data import Source
from tf_spot.data.split import Batch
from tf_spot.errors import UserError
from tf_spot.features.prefetch import ahead
from tf_spot.inference.embedder import Embedder
from tf_spot.inference.embedding_files import EmbeddingRows

SPLITS = ("train", "test", "all")
CHUNK = 4096  # photos, about: a row group of the Parquet file, and what a stopped job loses at most


def check_options(split: str, batch_size: int, chunk: int) -> None:
    """Raise a `UserError` for an unknown split, and for a batch or chunk of no photos."""
    if split not in SPLITS:
        raise UserError(f"--split must be one of {', '.join(SPLITS)}; received: {split}")
    if batch_size < 1 or chunk < 1:
        raise UserError(f"--batch-size and the chunk must be 1 or more; received: {batch_size} and {chunk}")


def splits_of(source: Source, split: str) -> list[str]:
    """Return the splits of the source that `split` means: itself, or for `all` both where there are two.

    Raises:
        UserError: the source has no such split.
    """
    if split == "test" and not source.has_test:
        raise UserError(f"--split test needs photos with a test split; received: {source.spec}, which has none")
    if split == "all":
        return ["train", "test"] if source.has_test else ["train"]
    return [split]


def facts_of(embedder: Embedder, source: Source, layer: str) -> dict[str, str]:
    """Return how rows are made, as the metadata of a Parquet file has it."""
    facts = {
        "layer": layer,
        "pooling": "average over the map",
        "model_sha256": embedder.digest,
        "data": source.name,
        "data_fingerprint": source.fingerprint,
        "version": __version__,
    }
    return {f"tf_spot.{name}": text for name, text in facts.items()}


def rows_of(
    embedder: Embedder,
    source: Source,
    split: str,
    batches: Iterable[Batch],
    path_of: Callable[[str, int], str] | None = None,
) -> EmbeddingRows:
    """Embed some photos of a split; the rows are in the order of the photos' indices.

    Ids count the photos of `train` first and those of `test` after them.

    Args:
        embedder: images to vectors.
        source: of the photos.
        split: of the source.
        batches: of the split.
        path_of: split and index to what the row has as path; by default the path within the source.
    """
    path_of = path_of or source.photo_path
    made = list(ahead(embedder, ((batch.images, (batch.indices, batch.labels)) for batch in batches)))
    # NumPy cannot join nothing: of no batches at all an array without rows.
    indices = np.concatenate([indices for _, (indices, _) in made] or [np.empty(0, np.int64)])
    labels = np.concatenate([labels for _, (_, labels) in made] or [np.empty(0, np.int32)])
    vectors = np.concatenate([vectors for vectors, _ in made] or [np.empty((0, 0), np.float32)])
    order = np.argsort(indices)  # batches come in any order
    paths = [_utf8(path_of(split, index)) for index in indices[order].tolist()]
    names = [_class_name(source, label) for label in labels[order].tolist()]
    ids = indices[order] + (source.count("train") if split == "test" else 0)
    splits = np.full(len(ids), split)
    return EmbeddingRows(ids, np.array(paths, np.str_), vectors[order], splits, np.array(names, np.str_))


def _class_name(source: Source, label: int) -> str:
    """Return the name of a class, its number where classes have no names, and "" for no class."""
    if label < 0:
        return ""
    return _utf8(source.class_names[label]) if source.class_names else str(label)


def _utf8(name: str) -> str:
    """Return a name with the bytes that are not UTF-8 spelled out."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")
