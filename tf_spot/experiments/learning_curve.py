"""Accuracy against images seen, measured while a row of a comparison trains."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras

from tf_spot.config import TrainingConfig
from tf_spot.data.source import Source
from tf_spot.evaluation import held_out_probe
from tf_spot.features.pooling import Extractor
from tf_spot.storage.files import append_line, read_lines

POINTS = 4  # per row: after each quarter of its steps
VALUES = 512  # per image and layer; fewer than for the table, as there are more probes
FILE = "curve.jsonl"
POINT = ("value", "layer", "stderr")  # of `held_out_probe`; points of earlier versions are of their best layer


class Curve(keras.callbacks.Callback):
    """Probes a model after each quarter of its steps but the last, whose point its caller adds.

    The probe is fitted to four fifths of the training labels and tested on the other fifth; test photos are not read.
    Its time does not count as the row's.

    Args:
        folder: of the row; a point is one line of curve.jsonl: `images_seen` and `POINT`.
        source: labelled photos.
        extractor: returns what maps images to {layer: maps} for the model in training.
        training: gives the steps per epoch, at whose ends the points lie, and the images per step.
        steps: of the model's training.
        images_before: seen by an earlier stage.
    """

    def __init__(
        self,
        folder: Path,
        source: Source,
        extractor: Callable[[keras.Model], Extractor],
        training: TrainingConfig,
        steps: int,
        *,
        images_before: int = 0,
    ) -> None:
        super().__init__()
        self.folder, self.source, self.extractor = folder, source, extractor
        self.training, self.steps, self.images_before = training, steps, images_before

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        before, now = (min(done * self.training.steps_per_epoch, self.steps) for done in (epoch, epoch + 1))
        # A point for each quarter that this epoch completes.
        if POINTS * before // self.steps < POINTS * now // self.steps and now < self.steps:
            images = self.images_before + now * self.training.batch_size
            add_point(self.folder, self.source, self.extractor(self.model), images)


def add_point(folder: Path, source: Source, extract: Extractor, images_seen: int) -> None:
    """Probe the features and append the point to the row's curve.jsonl."""
    probe = held_out_probe(extract, source, num_values=VALUES)
    append_line(folder / FILE, {"images_seen": images_seen} | {name: probe[name] for name in POINT})


def read_curve(folder: Path) -> list[dict[str, Any]]:
    """Return the points in the order of images seen.

    A row continued from a checkpoint may have measured a point twice; the later one counts.
    """
    points = {line["images_seen"]: line for line in read_lines(folder / FILE, {"images_seen": int})}
    return [points[images] for images in sorted(points)]
