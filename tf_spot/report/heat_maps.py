"""The images of every `tf-spot spot RUN ... --out RUN/FOLDER`, beside their heat maps."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

from PIL import Image

from tf_spot.data.images import BadImage, read_image
from tf_spot.report import html as markup
from tf_spot.runs.run import Run
from tf_spot.visualization import charts

SIDE = 480  # pixels, the longest side of a picture


def heat_maps(run: Run) -> str:
    found = {path.parent: json.loads(path.read_text(encoding="utf-8")) for path in sorted(run.path.glob("*/spot.json"))}
    figures = [_spotted(folder, entry) for folder, spots in found.items() for entry in spots["images"]]
    if not figures:
        return markup.note("No heat maps yet. Make some with: tf-spot spot RUN IMAGE... --out RUN/spot")
    says = "Dark: looks intact. Bright: looks repaired. The score is the probability that the whole image was repaired."
    if run.config.game.mask_targets == "repaired":
        says += (
            f" The mask head has seen repaired images only, of which {run.config.game.drop_rate:.0%} was repaired, and "
            "expects as much of every image: look at where a map is brighter, not at how bright it is."
        )
    return f"<p>{says}</p>{markup.grid(figures, 'grid pair')}"


def _spotted(folder: Path, entry: dict[str, Any]) -> str:
    """The image, where it can still be read, and its heat map."""
    pictures: list[Image.Image] = [Image.open(folder / entry["overlay"])]
    with contextlib.suppress(BadImage):
        pictures.insert(0, Image.fromarray(read_image(Path(entry["path"]), SIDE)))
    name = Path(entry["path"]).name
    caption = f"{name}: score {entry['score']:.2f}, mean of the heat map {entry['heat_map_mean']:.2f}"
    return markup.figure([charts.jpeg(picture, SIDE) for picture in pictures], caption)
