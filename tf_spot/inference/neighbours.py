"""Nearest neighbours of some images among many photos, by learned, random and raw-pixel features.

The rows of the picture show what the features have in common; random and pixel features show what needs no learning.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tf_spot.config import DataConfig
from tf_spot.data import Source, open_source
from tf_spot.data.augmentation import center
from tf_spot.data.images import BadImage, read_image
from tf_spot.errors import UserError
from tf_spot.evaluation.beside_random import untrained
from tf_spot.features.nearest import nearest_neighbours
from tf_spot.features.pixels import pixel_features
from tf_spot.features.pooling import averaged
from tf_spot.models.backbones import Backbone
from tf_spot.progress import Progress
from tf_spot.runs.load import load_backbone
from tf_spot.runs.run import recipe_of
from tf_spot.storage.files import write_json
from tf_spot.storage.lock import sole_writer
from tf_spot.visualization.pictures import grid, save_png

Feature = Callable[[np.ndarray], np.ndarray]  # images (batch, height, width, 3) in [-1, 1] to float32 (batch, dim)
BATCH = 64  # images at a time


class Hit(NamedTuple):
    """A neighbour of a query."""

    photo: int  # index among all photos that were searched
    similarity: float  # cosine


class Searched(NamedTuple):
    """The photos that are searched."""

    photos: list[tuple[str, int]]  # (split, index in it)
    vectors: dict[str, np.ndarray]  # float32 (photos, dim) by feature


def neighbours(
    trained: str | Path,
    spec: str,
    queries: Sequence[str | Path],
    out: str | Path,
    *,
    count: int = 8,
    layer: str = "conv5",
    seed: int = 0,
    on_progress: Progress | None = None,
) -> dict[str, Any]:
    """Find the photos of largest cosine with each query; write `out`/neighbours.png and `out`/neighbours.json.

    The search is exact. A photo with the very pixels of the query, at 16x16, is skipped: it is the query itself.

    Args:
        trained: a run folder, or a name of `load_pretrained`.
        spec: photos that can be read in any order; all of them are searched, training and test.
        queries: image files.
        out: folder.
        count: neighbours of each query.
        layer: the map that is averaged, of the trained and of the random backbone.
        seed: of the random backbone.
        on_progress: called with (photos done, photos, text).

    Returns:
        the content of neighbours.json: {"data", "layer", "queries": [{"query", "learned", "random", "pixels"}]}, the
        last three lists of {"path", "split", "similarity"}.

    Raises:
        UserError: no run, a query that cannot be read, an unknown layer, or fewer photos than `count`.
    """
    config = recipe_of(trained)
    query_images = np.stack([_query(Path(query), config.data) for query in queries])
    source = open_source(spec, config)
    source.pools()  # refuses photos that cannot be read in any order
    if count < 1:
        raise UserError(f"--count must be 1 or more; received: {count}")
    features = _features(load_backbone(trained).backbone, layer, seed)
    searched = _search(source, features, on_progress)
    hits = _nearest(searched.vectors, {name: feature(query_images) for name, feature in features.items()}, count)
    entries = [
        {"query": str(query)}
        | {name: [_entry(source, searched, hit) for hit in of_queries[number]] for name, of_queries in hits.items()}
        for number, query in enumerate(queries)
    ]
    result = {"data": source.name, "layer": layer, "queries": entries}
    with sole_writer(out, "search"):  # the two files belong together
        save_png(Path(out) / "neighbours.png", _picture(source, query_images, searched, hits))
        write_json(Path(out) / "neighbours.json", result)
    return result


def _query(path: Path, config: DataConfig) -> np.ndarray:
    """Read an image, cut as the photos that are searched: float32 (image_size, image_size, 3) in [-1, 1]."""
    try:
        photo = read_image(path, config.image_size)
    except BadImage as error:
        raise UserError(f"--query must be image files; received: {path}, which cannot be read: {error}") from error
    image: np.ndarray = center(photo, config.image_size, config).numpy()
    return image


def _features(backbone: Backbone, layer: str, seed: int) -> dict[str, Feature]:
    """Return the features by name: `learned`, and the controls `random` and `pixels`."""
    random = averaged(untrained(backbone, seed), layer)
    return {"learned": averaged(backbone, layer), "random": random, "pixels": pixel_features}


def _search(source: Source, features: dict[str, Feature], on_progress: Progress | None) -> Searched:
    """Compute the features of every readable photo."""
    photos: list[tuple[str, int]] = []
    vectors: dict[str, list[np.ndarray]] = {name: [] for name in features}
    splits = ["train", "test"] if source.has_test else ["train"]
    done, total = 0, sum(source.count(split) for split in splits)
    for split in splits:
        for images, _, indices in source.in_any_order(split, BATCH):
            photos += [(split, index) for index in indices.tolist()]
            for name, feature in features.items():
                vectors[name].append(feature(images))
            done += len(indices)
            if on_progress is not None:
                on_progress(done, total, "embedding photos")
    return Searched(photos, {name: np.concatenate(batches) for name, batches in vectors.items()})


def _nearest(vectors: dict[str, np.ndarray], queries: dict[str, np.ndarray], count: int) -> dict[str, list[list[Hit]]]:
    """Return the neighbours of each query by feature, nearest first, without the query itself."""
    # (queries, photos): equal in all of their pixels
    same = np.stack([(vectors["pixels"] == query).all(1) for query in queries["pixels"]])
    if len(vectors["pixels"]) < count + same.sum(axis=1).max():
        raise UserError(f"--count must be at most the photos there are; received: {count} of {len(vectors['pixels'])}")
    hits = {}
    for name in vectors:
        cosines, photos = nearest_neighbours(queries[name], vectors[name], count, excluded=same)
        hits[name] = [
            [Hit(*hit) for hit in zip(of_query.tolist(), similarities.tolist(), strict=True)]
            for of_query, similarities in zip(photos, cosines, strict=True)
        ]
    return hits


def _entry(source: Source, searched: Searched, hit: Hit) -> dict[str, Any]:
    """Return the record of one neighbour."""
    split, index = searched.photos[hit.photo]
    return {"path": source.photo_name(split, index), "split": split, "similarity": round(hit.similarity, 6)}


def _picture(
    source: Source, query_images: np.ndarray, searched: Searched, hits: dict[str, list[list[Hit]]]
) -> np.ndarray:
    """Draw three rows per query, each the query itself and its neighbours, nearest first: uint8 (height, width, 3)."""
    rows = {}
    for number, query in enumerate(query_images):
        for name, of_queries in hits.items():
            near = [source.photo(*searched.photos[hit.photo]) for hit in of_queries[number]]
            rows[f"{number + 1} {name}"] = np.stack([query, *near])
    return grid(rows)
