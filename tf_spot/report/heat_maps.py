"""The images of every `tf-spot spot RUN ... --out RUN/FOLDER`, beside their heat maps."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from tf_spot.data.images import BadImage, read_image
from tf_spot.report.html import Block, Figure, note
from tf_spot.runs.run import Run
from tf_spot.storage.json_files import interpreting, read_json
from tf_spot.visualization import charts

LONGEST_SIDE = 480  # pixels of a picture


class HeatMaps(NamedTuple):
    """Images with their heat maps."""

    figures: Sequence[Figure]
    repaired_share: float | None  # of each image that trained the mask head, where it saw repaired images only


def heat_maps(run: Run) -> list[Block]:
    """Return the images that were spotted into folders of the run, or a note where there are none."""
    figures = []
    for path in sorted(run.path.glob("*/spot.json")):
        with interpreting(path):
            figures += [_spotted(path.parent, entry) for entry in read_json(path, {"images": [dict]})["images"]]
    if not figures:
        return [note("No heat maps yet. Make some with: tf-spot spot RUN IMAGE... --out RUN/spot")]
    game = run.config.game
    return [Block("heat_maps.html", HeatMaps(figures, game.drop_rate if game.mask_targets == "repaired" else None))]


def _spotted(folder: Path, entry: Mapping[str, Any]) -> Figure:
    """Return the image, where it can still be read, and its heat map."""
    with Image.open(folder / entry["overlay"]) as overlay:
        pictures = [charts.jpeg(overlay, LONGEST_SIDE)]
    with contextlib.suppress(BadImage):
        photo = Image.fromarray(read_image(Path(entry["path"]), LONGEST_SIDE))
        pictures.insert(0, charts.jpeg(photo, LONGEST_SIDE))
    name = Path(entry["path"]).name
    caption = f"{name}: score {entry['score']:.2f}, mean of the heat map {entry['heat_map_mean']:.2f}"
    if entry.get("more_real_than") is not None:  # files of earlier versions do not have it
        caption += f", more real than {entry['more_real_than']:.0%} of held-out photos"
    return Figure(pictures, caption)
