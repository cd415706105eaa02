"""Numbers that the paper published, to stand beside ours: on its own data, never in one column with other data's.

Source: Jenni and Favaro, "Learning to Spot Artifacts", CVPR 2018, Tables 2 to 5, read in a published summary of the
paper. Where a standard deviation stands, it is over STL-10's ten folds.
"""

from __future__ import annotations

from typing import NamedTuple

from tf_spot.config import LAYERS


class Published(NamedTuple):
    """One row of a table of the paper."""

    table: str  # "Table 2"
    data: str  # of the measurement; "after" the data of pre-training, where that is other data
    metric: str
    method: str  # "spot", or "random" for random initialisation
    by_layer: dict[str, float]  # percent
    deviation: dict[str, float]  # of those, where the paper gives it


def _linear(table: str, data: str, method: str, *values: float) -> Published:
    return Published(table, data, "accuracy", method, dict(zip(LAYERS, values, strict=True)), {})


LINEAR = (
    _linear("Table 4", "ImageNet", "spot", 19.5, 33.3, 37.9, 38.9, 34.9),
    _linear("Table 4", "ImageNet", "random", 11.6, 17.1, 16.9, 16.3, 14.1),
    _linear("Table 5", "Places205", "spot", 23.3, 34.3, 36.9, 37.3, 34.4),
    _linear("Table 5", "Places205", "random", 15.7, 20.3, 19.8, 19.1, 17.5),
)
STL10 = (
    Published(
        "Table 2", "STL-10", "accuracy", "spot", {"conv5": 76.9, "finetuned": 80.1}, {"conv5": 0.2, "finetuned": 0.3}
    ),
)
ROWS: dict[str, tuple[Published, ...]] = {
    "linear": LINEAR,
    "linear-sgd": LINEAR,
    "stl10": STL10,
    "transfer": STL10,
    "voc-classification": (
        Published("Table 3", "PASCAL VOC after ImageNet", "mean average precision", "spot", {"finetuned": 69.8}, {}),
    ),
    "voc-detection": (
        Published("Table 3", "PASCAL VOC after ImageNet", "mean average precision", "spot", {"finetuned": 52.5}, {}),
    ),
    "voc-segmentation": (
        Published(
            "Table 3", "PASCAL VOC2012 after ImageNet", "mean intersection over union", "spot", {"finetuned": 38.1}, {}
        ),
    ),
}


def published(task: str) -> tuple[Published, ...]:
    """Return the published rows of a task of `tf-spot evaluate`; none for a task that the paper does not have."""
    return ROWS.get(task, ())


def format_published(task: str) -> str:
    """Return the published numbers as lines of plain text, each with its data; empty where there are none."""
    lines = []
    for row in published(task):
        cells = [
            f"{name} {value:.1f}" + (f" ± {row.deviation[name]:.1f}" if name in row.deviation else "")
            for name, value in row.by_layer.items()
        ]
        what = f"{task} of the paper's {row.table} on {row.data}, {row.method}"
        lines.append(f"{what}: {row.metric} in percent: {', '.join(cells)}")
    return "\n".join(lines)
