"""What a row of a comparison has learned while it trains: the points of accuracy against images seen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras

from tf_spot.config import TrainingConfig
from tf_spot.evaluation import held_out_probe
from tf_spot.storage.files import append_line, read_lines

POINTS = 4  # a row: after each quarter of its steps
VALUES = 512  # a layer is pooled to; fewer than for the table, as there are more probes
FILE = "curve.jsonl"


class Curve(keras.callbacks.Callback):
    """Probes a model whenever another quarter of its steps is done; the last point is added by who trains it.

    The probe is fitted to four fifths of the training labels and tested on the other fifth, test photos are not read.
    Its time is no part of the row's seconds.

    Args:
        folder: of the row; a line a point goes to curve.jsonl: {"images_seen", "value", "stderr"}.
        source: labelled photos.
        extract: the model to what maps images to {layer: maps}.
        training: says how many steps an epoch has, at whose ends the points lie, and how many images a step.
        steps: the model's.
        images_before: seen before its first step, by an earlier stage.
    """

    def __init__(
        self,
        folder: Path,
        source: Any,
        extract: Callable[[Any], Any],
        training: TrainingConfig,
        steps: int,
        *,
        images_before: int = 0,
    ) -> None:
        super().__init__()
        self.folder, self.source, self.extract = folder, source, extract
        self.training, self.steps, self.images_before = training, steps, images_before

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        before, now = (min(done * self.training.steps_per_epoch, self.steps) for done in (epoch, epoch + 1))
        if POINTS * before // self.steps < POINTS * now // self.steps and now < self.steps:
            images = self.images_before + now * self.training.batch_size
            add_point(self.folder, self.source, self.extract(self.model), images)


def add_point(folder: Path, source: Any, extract: Any, images_seen: int) -> None:
    """Probes and writes a line."""
    probe = held_out_probe(extract, source, num_values=VALUES)
    line = {"images_seen": images_seen, "value": probe["value"], "stderr": probe["stderr"]}
    append_line(folder / FILE, line)


def read_curve(folder: Path) -> list[dict[str, Any]]:
    """The points by images seen; of a row that went on from a checkpoint, the last of each."""
    points = {line["images_seen"]: line for line in read_lines(folder / FILE)}
    return [points[images] for images in sorted(points)]
