"""The table of a training under way: one row per epoch in fixed columns, 79 wide, for a terminal or a log file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from tf_spot.config import Config

ROWS = 20  # between two headings


class Column(NamedTuple):
    """Where the numbers of one or more metrics stand, with a slash between them."""

    heading: str
    width: int  # characters, the space before included
    names: tuple[str, ...]  # in metrics.jsonl
    form: str  # of each number


RATE = Column("img/s", 7, ("images_per_second",), ".0f")
COLUMNS = {
    "autoencoder": (
        Column("loss", 10, ("reconstruction_loss",), "#.3g"),
        Column("held out", 10, ("held_out_reconstruction_loss",), "#.3g"),
        Column("dB", 7, ("held_out_psnr",), ".1f"),
        Column("detail", 8, ("held_out_laplacian_share",), ".2f"),
        RATE,
    ),
    "spotter": (
        Column("discr", 7, ("discriminator_loss",), ".3f"),
        Column("mask", 7, ("mask_loss",), ".3f"),
        Column("repair", 7, ("repair_loss",), ".3f"),
        Column("accuracy", 11, ("decoded_accuracy", "repaired_accuracy"), ".2f"),
        Column("patches", 13, ("held_out_unrepaired_distance", "held_out_repaired_distance"), ".3f"),
        Column("grey", 6, ("held_out_brightness_shift",), "+.1f"),
        Column("kNN", 5, ("knn_accuracy",), ".2f"),
        Column("linear", 7, ("linear_accuracy",), ".2f"),
        RATE,
    ),
}
EPOCH_WIDTH = {"autoencoder": 12, "spotter": 9}


class EpochTable:
    """Write a row for every line of metrics, and a heading above the first and every twentieth.

    A number that an epoch did not measure is a dash.

    Args:
        write: receives the rows, without a line break.
        config: gives the number of epochs.
    """

    def __init__(self, write: Callable[[str], object], config: Config) -> None:
        self.write, self.config = write, config
        self._stage, self._rows = "", 0  # since the last heading

    def __call__(self, line: Mapping[str, Any]) -> None:
        stage = line["stage"]
        if stage != self._stage or self._rows == ROWS:
            self._stage, self._rows = stage, 0
            self.write(heading(stage))
        self._rows += 1
        steps = getattr(self.config.training, f"{stage}_steps")
        self.write(row(line, epochs=-(-steps // self.config.training.steps_per_epoch)))


def heading(stage: str) -> str:
    """Return the names of the columns."""
    return stage.rjust(EPOCH_WIDTH[stage]) + "".join(column.heading.rjust(column.width) for column in COLUMNS[stage])


def row(line: Mapping[str, Any], epochs: int) -> str:
    """Return the numbers of an epoch.

    Args:
        line: of metrics.jsonl.
        epochs: of the stage.
    """
    stage = line["stage"]
    cells = (_cell(line, column).rjust(column.width) for column in COLUMNS[stage])
    return f"{line['epoch']}/{epochs}".rjust(EPOCH_WIDTH[stage]) + "".join(cells)


def _cell(line: Mapping[str, Any], column: Column) -> str:
    values = [line.get(name) for name in column.names]
    if all(value is None for value in values):
        return "-"
    form = ".1f" if column is RATE and (values[0] or 0) < 10 else column.form  # a slow rate keeps a digit
    return "/".join("-" if value is None else format(value, form) for value in values)
