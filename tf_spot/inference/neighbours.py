"""Nearest neighbours of some images among many photos, by learned, random and raw-pixel features.

What the features hold alike is seen at a glance; the random and pixel rows show what needs no learning.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tf_spot.config import DataConfig
from tf_spot.data import Source, load
from tf_spot.data.augmentation import center
from tf_spot.data.images import BadImage, read_image
from tf_spot.errors import UserError
from tf_spot.evaluation.beside_controls import rival_extractors
from tf_spot.features.nearest import nearest_neighbours
from tf_spot.features.pooling import Pooling, averaged
from tf_spot.progress import Progress
from tf_spot.runs.load import load_spotter
from tf_spot.runs.run import Run
from tf_spot.storage.files import write_json
from tf_spot.visualization.pictures import grid, save_png

Feature = Callable[[Any], np.ndarray]  # images (batch, height, width, 3) in [-1, 1] to float32 (batch, dim)
Place = tuple[str, int]  # split, place in it
PIXELS_SIDE = 16  # raw pixels are compared at 16x16: 768 values, near the length of the other features
BATCH = 64  # images at a time


def neighbours(
    run_path: str | Path,
    spec: str,
    queries: Sequence[str | Path],
    out: str | Path,
    *,
    count: int = 8,
    layer: str = "conv5",
    seed: int = 0,
    on_progress: Progress | None = None,
) -> dict[str, Any]:
    """Finds the photos of largest cosine with each query; writes `out`/neighbours.png and `out`/neighbours.json.

    Search is exact. A photo with the very pixels of the query, at 16x16, is passed over: it is the query itself.

    Args:
        run_path: a run folder.
        spec: photos that can be read in any order; all of them are searched, training and test.
        queries: image files.
        out: folder.
        count: neighbours of each query.
        layer: the map to average, of the trained and of the random backbone.
        seed: of the random backbone.
        on_progress: told (photos done, photos, text).

    Returns:
        what neighbours.json holds: {"data", "layer", "queries": [{"query", "learned", "random", "pixels"}]}, the last
        three lists of {"path", "split", "similarity"}.

    Raises:
        UserError: no run, a query that cannot be read, an unknown layer, or fewer photos than `count`.
    """
    run = Run(run_path)
    config = run.config.data
    asked = np.stack([_query(Path(query), config) for query in queries])
    source = load(spec, image_size=config.image_size, config=config)
    source.pools()  # refuses photos that cannot be read in any order
    if count < 1:
        raise UserError(f"--count must be 1 or more; received: {count}")
    spotter = load_spotter(run)
    random = rival_extractors(spotter.backbone, spotter.autoencoder, Pooling(), seed)["random"]
    features = {"learned": averaged(spotter.backbone, layer), "random": averaged(random, layer), "pixels": _pixels}
    places, vectors = _features(source, features, on_progress)
    of_queries = {name: feature(asked) for name, feature in features.items()}
    same = np.stack([(vectors["pixels"] == query).all(1) for query in of_queries["pixels"]])  # (queries, photos)
    found = {name: _nearest(vectors[name], of_queries[name], same, count) for name in features}
    entries = [
        {"query": str(query)} | {name: [_entry(source, places, *hit) for hit in found[name][i]] for name in features}
        for i, query in enumerate(queries)
    ]
    result = {"data": source.name, "layer": layer, "queries": entries}
    save_png(Path(out) / "neighbours.png", _picture(source, asked, places, found))
    write_json(Path(out) / "neighbours.json", result)
    return result


def _query(path: Path, config: DataConfig) -> np.ndarray:
    """(image_size, image_size, 3) in [-1, 1], cut as the photos that are searched."""
    try:
        photo = read_image(path, config.image_size)
    except BadImage as error:
        raise UserError(f"--query must be image files; received: {path}, which cannot be read: {error}") from error
    image: np.ndarray = center(photo, config.image_size, config).numpy()
    return image


def _pixels(images: Any) -> np.ndarray:
    shrunk = tf.image.resize(images, (PIXELS_SIDE, PIXELS_SIDE), "area")
    values: np.ndarray = np.reshape(shrunk, (len(images), -1))
    return values


def _features(
    source: Source, features: dict[str, Feature], on_progress: Progress | None
) -> tuple[list[Place], dict[str, np.ndarray]]:
    """Where every readable photo is, and its vectors: float32 (photos, dim) by feature."""
    places: list[Place] = []
    vectors: dict[str, list[np.ndarray]] = {name: [] for name in features}
    splits = ["train", "test"] if source.has_test else ["train"]
    done, total = 0, sum(source.count(split) for split in splits)
    for split in splits:
        for images, _, numbers in source.in_any_order(split, BATCH):
            places += [(split, number) for number in numbers.tolist()]
            for name, feature in features.items():
                vectors[name].append(feature(images))
            done += len(numbers)
            if on_progress is not None:
                on_progress(done, total, "embedding photos")
    return places, {name: np.concatenate(parts) for name, parts in vectors.items()}


def _nearest(vectors: np.ndarray, queries: np.ndarray, same: np.ndarray, count: int) -> list[list[tuple[int, float]]]:
    """For each query the (photo, cosine) of its neighbours, nearest first, without those that are the `same`."""
    if len(vectors) < count + same.sum(axis=1).max():
        raise UserError(f"--count must be at most the photos there are; received: {count} of {len(vectors)}")
    cosines, photos = nearest_neighbours(queries, vectors, count, excluded=same)
    return [list(zip(row.tolist(), near.tolist(), strict=True)) for row, near in zip(photos, cosines, strict=True)]


def _entry(source: Source, places: list[Place], photo: int, similarity: float) -> dict[str, Any]:
    split, place = places[photo]
    return {"path": source.photo_name(split, place), "split": split, "similarity": round(similarity, 6)}


def _picture(
    source: Source, asked: np.ndarray, places: list[Place], found: dict[str, list[list[tuple[int, float]]]]
) -> np.ndarray:
    """Three rows a query: the query itself, then its neighbours, nearest first."""
    rows = {}
    for number, query in enumerate(asked):
        for name, hits in found.items():
            near = [source.photo(*places[photo]) for photo, _ in hits[number]]
            rows[f"{number + 1} {name}"] = np.stack([query, *near])
    return grid(rows)
