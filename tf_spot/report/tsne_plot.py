"""A map of the features: photos with similar features lie near each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib import colormaps
from PIL import Image

from tf_spot.report.held_out_photos import Photos, thumbnail
from tf_spot.report.html import Block, figure, note
from tf_spot.visualization import charts

FEWEST = 12  # photos that make a map
WIDTH, HEIGHT, TILE, FRAME = 1400, 1000, 34, 3  # pixels
COLOUR_MAP = "tab20"
MOST_CLASSES = 20  # as many as the colour map has colours

Colour = tuple[int, int, int]  # RGB, 0 to 255


class LegendEntry(NamedTuple):
    """A class and the colour of its photos' frames."""

    name: str
    colour: Colour


def feature_map(photos: Photos | str) -> list[Block]:
    """Return the photos as thumbnails placed by t-SNE of conv5, framed in their class's colour, and a legend.

    Args:
        photos: or the reason why there are none.
    """
    if isinstance(photos, str):
        return [note(photos)]
    vectors = photos.vectors["learned"]
    # t-SNE of equal vectors is undefined: its initial PCA divides by their deviation.
    if len(vectors) < FEWEST or np.ptp(vectors, axis=0).max() < 1e-6:
        return [note(f"No map: {photos.description}, are too few, or all have the same features.")]
    colours = class_colours(photos)
    caption = (
        f"{photos.description[0].upper()}{photos.description[1:]}, placed by t-SNE of conv5 averaged over the map. "
        "Near: similar features. Healthy: photos of one kind lie together, and not by their colours alone."
    )
    picture = charts.jpeg(draw(photos.pictures, positions(vectors), colours), WIDTH)
    entries = legend(photos, colours)
    return [figure(picture, caption), *([Block("legend.html", entries)] if entries else [])]


def positions(vectors: np.ndarray) -> np.ndarray:
    """Return where the photos lie, always the same for the same vectors.

    Args:
        vectors: float (photos, dim).

    Returns:
        float32 (photos, 2) in [0, 1].
    """
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    perplexity = min(30.0, (len(vectors) - 1) / 3)
    with threadpool_limits(1):  # with more, threads wait for each other at each of its many small steps
        embedded = TSNE(perplexity=perplexity, init="pca", random_state=0).fit_transform(vectors)
    low, high = embedded.min(axis=0), embedded.max(axis=0)
    scaled: np.ndarray = (embedded - low) / np.maximum(high - low, 1e-12)
    return scaled


def draw(pictures: np.ndarray, positions: np.ndarray, colours: Sequence[Colour]) -> Image.Image:
    """Draw thumbnails on white.

    Args:
        pictures: uint8 (photos, size, size, 3).
        positions: (photos, 2) in [0, 1].
        colours: of the frames, one per photo; empty: no frames.
    """
    tile = TILE + 2 * FRAME
    canvas = Image.new("RGB", (WIDTH, HEIGHT), "white")
    for number, (picture, (x, y)) in enumerate(zip(pictures, positions, strict=True)):
        left, top = round(x * (WIDTH - tile)), round(y * (HEIGHT - tile))
        if colours:
            canvas.paste(colours[number], (left, top, left + tile, top + tile))
        canvas.paste(thumbnail(picture, TILE), (left + FRAME, top + FRAME))
    return canvas


def class_colours(photos: Photos) -> list[Colour]:
    """Return one colour per photo; none without labels or with more classes than there are colours."""
    if photos.labels is None or photos.labels.max() >= MOST_CLASSES:
        return []
    colours = (255 * colormaps[COLOUR_MAP](range(MOST_CLASSES))).round().astype(int)  # (MOST_CLASSES, 4): RGBA
    return [(int(red), int(green), int(blue)) for red, green, blue, _ in colours[photos.labels]]


def legend(photos: Photos, colours: Sequence[Colour]) -> list[LegendEntry]:
    """Return the classes that the photos have, in order; none without colours or names."""
    if not colours or not photos.class_names or photos.labels is None:
        return []
    of_class = dict(zip(photos.labels.tolist(), colours, strict=True))
    return [LegendEntry(photos.class_names[label], of_class[label]) for label in sorted(of_class)]
