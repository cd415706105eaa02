"""Nearest neighbours: what `tf-spot neighbours` found among all photos, and some queries among those held out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tf_spot.features.nearest import nearest_neighbours
from tf_spot.report import html as markup
from tf_spot.report.held_out_photos import Photos, thumbnail
from tf_spot.runs.run import Run
from tf_spot.visualization import charts

QUERIES = 6
NEAREST = 8  # neighbours shown of each
TILE, GAP, BAR = 64, 3, 5  # pixels
SAME_CLASS = (11, 107, 58)


def neighbours(run: Run, photos: Photos | str) -> str:
    """Those of the held-out photos, then those that were asked for."""
    asked = [_asked(path.parent) for path in sorted(run.path.glob("*/neighbours.json"))]
    if not asked:
        how = "tf-spot neighbours RUN --data SPEC --query IMAGE... --out RUN/neighbours"
        asked = [markup.note(f"For those of other images, among all photos: {how}")]
    return "\n".join([markup.note(photos) if isinstance(photos, str) else _among(photos), *asked])


def _asked(folder: Path) -> str:
    """What `tf-spot neighbours RUN ... --out RUN/FOLDER` wrote."""
    found = json.loads((folder / "neighbours.json").read_text(encoding="utf-8"))
    names = (f"{number}: {Path(entry['query']).name}" for number, entry in enumerate(found["queries"], start=1))
    caption = (
        f"Among all photos of {found['data']}, by {found['layer']}: the query, then its neighbours. {'; '.join(names)}"
    )
    with Image.open(folder / "neighbours.png") as picture:
        return markup.figure([charts.jpeg(picture, 1200)], caption)


def _among(photos: Photos) -> str:
    if len(photos.pictures) <= NEAREST:
        return markup.note(f"Too few photos for neighbours: {photos.says}.")
    nearest = {name: nearest_others(directions) for name, directions in photos.directions.items()}
    queries = np.linspace(0, len(photos.pictures) - 1, QUERIES).round().astype(int)
    says = f"A query and the {NEAREST} photos of largest cosine among {photos.says}."
    if photos.labels is not None:
        shares = ", ".join(f"{name} {share:.0%}" for name, share in same_class(nearest, photos.labels).items())
        says += f" A bar below marks those of the query's class. Of all photos' neighbours these are: {shares}."
    return f"<p>{says}</p>" + markup.grid((_query(photos, int(query), nearest) for query in queries), "grid wide")


def nearest_others(directions: np.ndarray) -> np.ndarray:
    """Of every photo the places of its `NEAREST` neighbours by cosine, nearest first: (photos, NEAREST).

    Args:
        directions: (photos, dim), of length 1.
    """
    return nearest_neighbours(directions, directions, NEAREST, excluded=np.eye(len(directions), dtype=bool))[1]


def same_class(nearest: dict[str, np.ndarray], labels: np.ndarray) -> dict[str, float]:
    """The share of all neighbours that are of their query's class, by kind of features."""
    return {name: float((labels[found] == labels[:, None]).mean()) for name, found in nearest.items()}


def _query(photos: Photos, query: int, nearest: dict[str, np.ndarray]) -> str:
    name = f"query {query + 1}"
    if photos.labels is not None and photos.class_names:
        name = photos.class_names[photos.labels[query]]
    picture = markup.image(charts.jpeg(thumbnail(photos.pictures[query], 2 * TILE), 2 * TILE), name)
    rows = "".join(
        f"<span>{kind}</span>{markup.image(_strip(photos, query, found[query]), f'{kind}: neighbours of {name}')}"
        for kind, found in nearest.items()
    )
    return f'<figure class="near"><figcaption>{markup.text(name)}</figcaption>{picture}<div>{rows}</div></figure>'


def _strip(photos: Photos, query: int, found: Any) -> str:
    """The neighbours side by side."""
    strip = Image.new("RGB", (NEAREST * (TILE + GAP) - GAP, TILE + BAR), "white")
    for number, place in enumerate(found):
        left = number * (TILE + GAP)
        strip.paste(thumbnail(photos.pictures[place], TILE), (left, 0))
        if photos.labels is not None and photos.labels[place] == photos.labels[query]:
            strip.paste(SAME_CLASS, (left, TILE + 1, left + TILE, TILE + BAR))
    return charts.jpeg(strip, strip.width)
