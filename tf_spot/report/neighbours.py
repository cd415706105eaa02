"""Nearest neighbours: those of some held-out photos, and those that `tf-spot neighbours` searched among all photos."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from tf_spot.features.nearest import nearest_neighbours
from tf_spot.report.held_out_photos import Photos, thumbnail
from tf_spot.report.html import Block, figure, note
from tf_spot.runs.run import Run
from tf_spot.storage.json_files import read_json
from tf_spot.visualization import charts

QUERIES = 6
NEAREST = 8  # neighbours shown of each query
TILE, GAP, BAR = 64, 3, 5  # pixels
SAME_CLASS = (11, 107, 58)  # RGB
LONGEST_SIDE = 1200  # pixels of the picture of a search


class Query(NamedTuple):
    """A photo and its neighbours, as data URIs."""

    name: str
    uri: str
    strips: Mapping[str, str]  # the neighbours side by side, by kind of features


class Neighbours(NamedTuple):
    """Some queries among the held-out photos."""

    description: str
    queries: Sequence[Query]


def neighbours(run: Run, photos: Photos | str) -> list[Block]:
    """Return the neighbours of held-out photos, then those of the searches in folders of the run.

    Args:
        run: may hold searches, see `tf-spot neighbours RUN ... --out RUN/FOLDER`.
        photos: or the reason why there are none.
    """
    searches = [_search(path.parent) for path in sorted(run.path.glob("*/neighbours.json"))]
    if not searches:
        command = "tf-spot neighbours RUN --data SPEC --query IMAGE... --out RUN/neighbours"
        searches = [note(f"For those of other images, among all photos: {command}")]
    return [note(photos) if isinstance(photos, str) else among_held_out(photos), *searches]


def _search(folder: Path) -> Block:
    record = read_json(folder / "neighbours.json", {"data": str, "layer": str, "queries": [{"query": str}]})
    names = (f"{number}: {Path(entry['query']).name}" for number, entry in enumerate(record["queries"], start=1))
    caption = (
        f"Among all photos of {record['data']}, by {record['layer']}: the query, then its neighbours. "
        f"{'; '.join(names)}"
    )
    with Image.open(folder / "neighbours.png") as picture:
        return figure(charts.jpeg(picture, LONGEST_SIDE), caption)


def among_held_out(photos: Photos) -> Block:
    """Return some of the photos as queries among all of them, or a note where they are too few."""
    if len(photos.pictures) <= NEAREST:
        return note(f"Too few photos for neighbours: {photos.description}.")
    nearest = {name: nearest_others(vectors) for name, vectors in photos.vectors.items()}
    queries = np.linspace(0, len(photos.pictures) - 1, QUERIES).round().astype(int)
    text = f"A query and the {NEAREST} photos of largest cosine among {photos.description}."
    if photos.labels is not None:
        shares = ", ".join(f"{name} {share:.0%}" for name, share in same_class(nearest, photos.labels).items())
        text += f" A bar below marks those of the query's class. Of all photos' neighbours these are: {shares}."
    return Block("neighbours.html", Neighbours(text, [_query(photos, int(query), nearest) for query in queries]))


def nearest_others(vectors: np.ndarray) -> np.ndarray:
    """Return the indices of the `NEAREST` neighbours by cosine of each vector among the others.

    Args:
        vectors: float (photos, dim).

    Returns:
        int64 (photos, NEAREST), nearest first.
    """
    return nearest_neighbours(vectors, vectors, NEAREST, excluded=np.eye(len(vectors), dtype=bool))[1]


def same_class(nearest: Mapping[str, np.ndarray], labels: np.ndarray) -> dict[str, float]:
    """Return the share of all neighbours that are of their query's class, by kind of features.

    Args:
        nearest: indices of neighbours int (photos, neighbours), by kind of features.
        labels: int (photos,).
    """
    # labels[indices] is (photos, neighbours)
    return {name: float((labels[indices] == labels[:, None]).mean()) for name, indices in nearest.items()}


def _query(photos: Photos, query: int, nearest: Mapping[str, np.ndarray]) -> Query:
    name = f"query {query + 1}"
    if photos.labels is not None and photos.class_names:
        name = photos.class_names[photos.labels[query]]
    uri = charts.jpeg(thumbnail(photos.pictures[query], 2 * TILE), 2 * TILE)
    return Query(name, uri, {kind: _strip(photos, query, indices[query]) for kind, indices in nearest.items()})


def _strip(photos: Photos, query: int, indices: np.ndarray) -> str:
    """Return the neighbours int (NEAREST,) of a query side by side, as a data URI."""
    strip = Image.new("RGB", (NEAREST * (TILE + GAP) - GAP, TILE + BAR), "white")
    for number, index in enumerate(indices):
        left = number * (TILE + GAP)
        strip.paste(thumbnail(photos.pictures[index], TILE), (left, 0))
        if photos.labels is not None and photos.labels[index] == photos.labels[query]:
            strip.paste(SAME_CLASS, (left, TILE + 1, left + TILE, TILE + BAR))
    return charts.jpeg(strip, strip.width)
