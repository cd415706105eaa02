"""Picture grids over time: a slider moves through them; without JavaScript the last is shown, on paper two."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from tf_spot.report.html import Block, Figure, note
from tf_spot.runs.run import STAGES, Run
from tf_spot.storage.json_files import interpreting
from tf_spot.visualization import charts

FRAMES = 40  # of a stage at most, evenly over time, the first and the last among them: the page stays light
LONGEST_SIDE = 800  # pixels of a frame


class Film(NamedTuple):
    """The picture grids of one stage."""

    stage: str
    frames: Sequence[Figure]  # in the order of their epochs


def pictures(run: Run) -> list[Block]:
    """Return one slider per stage, or a note where there are no pictures."""
    films = []
    for stage in STAGES:
        paths = sorted((run.path / "pictures").glob(f"{stage}-*.png"))
        if paths:
            films.append(Block("film.html", Film(stage, [_frame(path) for path in spread(paths, FRAMES)])))
    return films or [note("No pictures yet.")]


def _frame(path: Path) -> Figure:
    with interpreting(path), Image.open(path) as picture:
        uri = charts.jpeg(picture, LONGEST_SIDE)
    return Figure([uri], f"after epoch {int(path.stem.rpartition('-')[2])}")


def spread(items: Sequence[Path], count: int) -> list[Path]:
    """Return at most `count` of `items`, evenly spaced, the first and the last among them."""
    if len(items) <= count:
        return list(items)
    return [items[round(i * (len(items) - 1) / (count - 1))] for i in range(count)]
