"""Picture grids over time: a slider moves through them; without JavaScript the last is shown, on paper two."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from tf_spot.report import html as markup
from tf_spot.runs.run import STAGES, Run
from tf_spot.visualization import charts

FRAMES = 40  # of a stage at most, evenly over time, the first and the last among them: the page stays light
LONGEST_SIDE = 800  # pixels of a frame


def pictures(run: Run) -> str:
    """A slider a stage."""
    parts = []
    for stage in STAGES:
        paths = sorted((run.path / "pictures").glob(f"{stage}-*.png"))
        if paths:
            parts.append(f"<h3>{markup.text(stage)}</h3>\n{_film(spread(paths, FRAMES))}")
    return "\n".join(parts) or markup.note("No pictures yet.")


def _film(paths: Sequence[Path]) -> str:
    """The page's script shows the slider, and one frame at a time."""
    frames = "\n".join(
        markup.figure([_frame(path)], f"after epoch {int(path.stem.rpartition('-')[2])}") for path in paths
    )
    slider = f'<input type="range" min="0" max="{len(paths) - 1}" value="{len(paths) - 1}" aria-label="epoch" hidden>'
    return f'<div class="film">\n{slider if len(paths) > 1 else ""}\n{frames}\n</div>'


def _frame(path: Path) -> str:
    with Image.open(path) as picture:
        return charts.jpeg(picture, LONGEST_SIDE)


def spread(items: Sequence[Path], count: int) -> list[Path]:
    """At most `count` of `items`, evenly spaced, the first and the last among them."""
    if len(items) <= count:
        return list(items)
    return [items[round(i * (len(items) - 1) / (count - 1))] for i in range(count)]
