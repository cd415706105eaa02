"""A map of the features: photos that they find alike lie near each other."""

from __future__ import annotations

import numpy as np
from matplotlib import colormaps
from PIL import Image

from tf_spot.report import html as markup
from tf_spot.report.held_out_photos import Photos, thumbnail
from tf_spot.visualization import charts

FEWEST = 12  # photos that make a map
WIDTH, HEIGHT, TILE, FRAME = 1400, 1000, 34, 3  # pixels
COLOURS = "tab20"
MOST_CLASSES = 20  # that colours can tell apart


def feature_map(photos: Photos | str) -> str:
    """The photos as thumbnails, placed by t-SNE of conv5, averaged over the map, in a frame of their class's colour."""
    if isinstance(photos, str):
        return markup.note(photos)
    directions = photos.directions["learned"]
    if len(directions) < FEWEST or np.ptp(directions, axis=0).max() < 1e-6:
        return markup.note(f"No map: {photos.says}, are too few, or all have the same features.")
    colours = class_colours(photos)
    says = f"{photos.says[0].upper()}{photos.says[1:]}, placed by t-SNE of conv5 averaged over the map."
    says += " Near: alike to the features. Healthy: photos of one kind lie together, and not by their colours alone."
    picture = charts.jpeg(draw(photos.pictures, places(directions), colours), WIDTH)
    return markup.figure([picture], says) + _legend(photos, colours)


def places(directions: np.ndarray) -> np.ndarray:
    """Where the photos lie: float (photos, 2) in [0, 1], the same for the same directions."""
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    perplexity = min(30.0, (len(directions) - 1) / 3)
    with threadpool_limits(1):  # threads wait for each other at every one of its small steps
        found = TSNE(perplexity=perplexity, init="pca", random_state=0).fit_transform(directions)
    low, high = found.min(axis=0), found.max(axis=0)
    scaled: np.ndarray = (found - low) / np.maximum(high - low, 1e-12)
    return scaled


def draw(pictures: np.ndarray, where: np.ndarray, colours: list[tuple[int, int, int]]) -> Image.Image:
    """Thumbnails on white.

    Args:
        pictures: uint8 (photos, size, size, 3).
        where: (photos, 2) in [0, 1].
        colours: of the frames, one a photo; empty: no frames.
    """
    tile = TILE + 2 * FRAME
    canvas = Image.new("RGB", (WIDTH, HEIGHT), "white")
    for number, (picture, (x, y)) in enumerate(zip(pictures, where, strict=True)):
        left, top = round(x * (WIDTH - tile)), round(y * (HEIGHT - tile))
        if colours:
            canvas.paste(colours[number], (left, top, left + tile, top + tile))
        canvas.paste(thumbnail(picture, TILE), (left + FRAME, top + FRAME))
    return canvas


def class_colours(photos: Photos) -> list[tuple[int, int, int]]:
    """RGB, one a photo; none where there are no labels or more classes than colours can tell apart."""
    if photos.labels is None or photos.labels.max() >= MOST_CLASSES:
        return []
    colours = (255 * colormaps[COLOURS](range(MOST_CLASSES))).round().astype(int)
    return [(int(red), int(green), int(blue)) for red, green, blue, _ in colours[photos.labels]]


def _legend(photos: Photos, colours: list[tuple[int, int, int]]) -> str:
    if not colours or not photos.class_names or photos.labels is None:
        return ""
    of_class = dict(zip(photos.labels.tolist(), colours, strict=True))
    entries = (
        f'<span style="border-color: rgb{of_class[label]}">{markup.text(photos.class_names[label])}</span>'
        for label in sorted(of_class)
    )
    return f'<p class="legend">{" ".join(entries)}</p>'
