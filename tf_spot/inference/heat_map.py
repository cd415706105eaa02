"""Where an image looks repaired: an artifact score and a heat map.

The discriminator was trained on autoencoded and repaired images. A photo that was never autoencoded is sharper than
either, so its score means less than its rank among other photos (`realness_rank`) and the difference between the scores
of two versions of an image. A mask head trained
on repaired images alone (`mask_targets="repaired"`, the paper's) expects the usual share of repaired cells in every
image: what counts is where its heat map is brighter.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from PIL import Image

from tf_spot.data.augmentation import to_images
from tf_spot.data.images import MAX_PIXELS, BadImage, read_image
from tf_spot.errors import UserError
from tf_spot.models.spotter import ArtifactSpotter
from tf_spot.runs.run import RECORDS
from tf_spot.storage.files import write_json
from tf_spot.storage.lock import sole_writer
from tf_spot.storage.names import fitting
from tf_spot.visualization.pictures import save_png

LONGEST_SIDE = 16  # times the model's image size: a longer strip is squeezed, which bounds the memory
COLOR_MAP = "inferno"  # dark: intact, bright: repaired


class Spot(NamedTuple):
    """The answers of a spotter for one image."""

    score: float  # probability that the image was repaired, in [0, 1]
    heat_map: np.ndarray  # (h, w) float32: probability that the cell was repaired, in [0, 1]


def spot(spotter: ArtifactSpotter, image: np.ndarray) -> Spot:
    """Compute how repaired an image of any size looks, as a whole and cell by cell.

    The score comes from the whole image squeezed into the square that the realness head needs. The mask head is
    convolutional, so the heat map comes from the image in its own shape, its short side scaled to the model's size.

    Args:
        spotter: a trained `ArtifactSpotter` with a mask head.
        image: uint8 (height, width, 3), RGB.

    Returns:
        the score and the heat map, whose cells cover the image evenly.

    Raises:
        UserError: the spotter was trained without a mask head, or `image` is not uint8 (height, width, 3).
    """
    discriminator = spotter.discriminator
    if discriminator.mask_head is None:
        raise UserError("a heat map needs the mask head; received: a spotter trained with game.predict_mask=false")
    image = np.asarray(image)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise UserError(f"image must be uint8 (height, width, 3); received: {image.dtype} {image.shape}")
    size = discriminator.image_size
    (score,) = repaired_probability(spotter, squeezed(image, size, size))
    height, width = _window(image.shape[0], image.shape[1], size, size // discriminator.grid_size)
    mask_logits = discriminator.mask_head(discriminator.backbone(squeezed(image, height, width))["conv5"])
    # (1, h, w, 1); the logits are those of a cell having been kept
    return Spot(float(score), tf.sigmoid(-mask_logits)[0, :, :, 0].numpy())


def repaired_probability(spotter: ArtifactSpotter, images: tf.Tensor) -> np.ndarray:
    """Return the probability that each image was repaired: float32 (batch,), in [0, 1].

    Args:
        spotter: trained.
        images: (batch, image_size, image_size, 3) in [-1, 1].
    """
    logits = spotter.discriminator(images)["realness_logits"]  # (batch, 2); class 0: repaired
    probabilities: np.ndarray = tf.nn.softmax(logits)[:, 0].numpy()
    return probabilities


def overlay(image: np.ndarray, heat_map: np.ndarray, opacity: float = 0.6) -> np.ndarray:
    """Draw the heat map in colour over the grey image, at the image's own size.

    Colours mean the same in every image: `COLOR_MAP` from 0 to 1.

    Args:
        image: uint8 (height, width, 3).
        heat_map: float (h, w) in [0, 1].
        opacity: of the heat map, in [0, 1].

    Returns:
        uint8 (height, width, 3).
    """
    import matplotlib

    height, width = image.shape[:2]
    heat = Image.fromarray(np.asarray(heat_map, np.float32)).resize((width, height), Image.Resampling.BILINEAR)
    colors = matplotlib.colormaps[COLOR_MAP](np.clip(np.asarray(heat), 0, 1), bytes=True)[..., :3]
    grey = Image.fromarray(image).convert("L").convert("RGB")
    return np.asarray(Image.blend(grey, Image.fromarray(np.ascontiguousarray(colors)), opacity))


def spot_files(
    spotter: ArtifactSpotter,
    paths: Sequence[Path],
    out: Path,
    more_real_than: Callable[[Path], float] | None = None,
) -> dict[str, list[dict[str, Any]]]:
    """Spot image files: write each overlay to `out`/NAME.png, its numbers to `out`/NAME.json, all to `out`/spot.json.

    Args:
        spotter: see `spot`.
        paths: the image files.
        out: folder; it is made.
        more_real_than: the share of other photos that look more repaired than a file, such as
            `RealnessRank.more_real_than`, to record it with each image; None: null is recorded.

    Returns:
        the content of spot.json: {"images": [...], "failed": [{"path", "reason"}]}, in the order of `paths`.
    """
    with sole_writer(out, "spotting"):
        return _spot_files(spotter, paths, out, more_real_than)


def _spot_files(
    spotter: ArtifactSpotter, paths: Sequence[Path], out: Path, more_real_than: Callable[[Path], float] | None
) -> dict[str, list[dict[str, Any]]]:
    """Spot image files as the only process that writes `out`."""
    images: list[dict[str, Any]] = []
    failed: list[dict[str, Any]] = []
    # Names of files that are not those of images: spot.json lists all of them, the others are a run's own.
    taken = {"spot", *RECORDS}
    for path in paths:
        try:
            image = read_image(path, MAX_PIXELS)  # at its own size
        except BadImage as error:
            failed.append({"path": _readable(path), "reason": str(error)})
            continue
        name = _free_name(path, taken)
        seen = spot(spotter, image)
        picture, numbers = fitting(name, ".png"), fitting(name, ".json")
        save_png(out / picture, overlay(image, seen.heat_map))
        entry = _entry(path, picture, image, seen)
        entry["more_real_than"] = None if more_real_than is None else round(more_real_than(path), 4)
        write_json(out / numbers, entry)
        images.append(entry)
    result = {"images": images, "failed": failed}
    write_json(out / "spot.json", result)
    return result


def _entry(path: Path, overlay_name: str, image: np.ndarray, seen: Spot) -> dict[str, Any]:
    """Return the record of one image."""
    return {
        "path": _readable(path.absolute()),
        "width": image.shape[1],
        "height": image.shape[0],
        "score": round(seen.score, 6),
        "heat_map_mean": round(float(seen.heat_map.mean()), 6),
        "heat_map_max": round(float(seen.heat_map.max()), 6),
        "heat_map": np.round(seen.heat_map.astype(np.float64), 6).tolist(),
        "overlay": overlay_name,
    }


def _free_name(path: Path, taken: set[str]) -> str:
    """Return the file's name without its ending, numbered if another image has it already."""
    stem = _readable(Path(path.stem))
    name = next(n for n in itertools.chain([stem], (f"{stem}-{i}" for i in itertools.count(2))) if n not in taken)
    taken.add(name)
    return name


def _readable(path: Path) -> str:
    """Return the path with the bytes that are not UTF-8 spelled out."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def squeezed(image: np.ndarray, height: int, width: int) -> tf.Tensor:
    """Resize uint8 (h, w, 3), whole, to an image (1, height, width, 3) in [-1, 1]."""
    resized = tf.image.resize(image[None], (height, width), antialias=True)
    return to_images(tf.clip_by_value(resized, 0.0, 255.0))


def _window(height: int, width: int, size: int, cell: int) -> tuple[int, int]:
    """Return the image's height and width with the short side scaled to `size`, both rounded to whole cells."""
    scale = size / min(height, width)
    sides = [min(round(side * scale / cell), LONGEST_SIDE * size // cell) * cell for side in (height, width)]
    return sides[0], sides[1]
