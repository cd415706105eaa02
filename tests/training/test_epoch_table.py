"""The table of a training under way: what stands where."""

from __future__ import annotations

from typing import Any

import pytest

from tf_spot.config import preset
from tf_spot.training import epoch_table
from tf_spot.training.epoch_table import COLUMNS, EpochTable, heading, row

STAGE_1 = {
    "stage": "autoencoder", "epoch": 3, "reconstruction_loss": 0.01234, "held_out_reconstruction_loss": 0.0131,
    "held_out_psnr": 24.56, "held_out_laplacian_share": 0.612, "images_per_second": 1035.4,
}  # fmt: skip
STAGE_2 = {
    "stage": "spotter", "epoch": 12, "discriminator_loss": 1.2345, "mask_loss": 0.612, "repair_loss": 0.693,
    "decoded_accuracy": 0.79, "repaired_accuracy": 0.84, "images_per_second": 35.2,
}  # fmt: skip
PROBES = {
    "held_out_unrepaired_distance": 0.4514, "held_out_repaired_distance": 0.3121, "held_out_brightness_shift": 2.13,
    "knn_accuracy": 0.52, "linear_accuracy": 0.555,
}  # fmt: skip


def test_the_rows_of_both_stages() -> None:
    assert [heading("autoencoder"), row(STAGE_1, 10)] == [
        " autoencoder      loss  held out     dB  detail  img/s",
        "        3/10    0.0123    0.0131   24.6    0.61   1035",
    ]
    assert [heading("spotter"), row(STAGE_2 | PROBES, 250), row(STAGE_2, 250)] == [
        "  spotter  discr   mask repair   accuracy      patches  grey  kNN linear  img/s",
        "   12/250  1.234  0.612  0.693  0.79/0.84  0.451/0.312  +2.1 0.52   0.56     35",
        "   12/250  1.234  0.612  0.693  0.79/0.84            -     -    -      -     35",
    ]


@pytest.mark.parametrize("stage", COLUMNS)
def test_a_row_fits_a_terminal_of_80_columns(stage: str) -> None:
    assert len(heading(stage)) < 80


def test_what_only_part_of_a_pair_was_measured_of_is_a_dash() -> None:
    """Without a repair network nothing is repaired."""
    assert " 0.451/- " in row(STAGE_2 | PROBES | {"held_out_repaired_distance": None}, 250)


def test_a_slow_rate_keeps_a_digit() -> None:
    assert row(STAGE_1 | {"images_per_second": 0.74}, 10).split()[-1] == "0.7"


def test_a_heading_comes_first_with_each_stage_and_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(epoch_table, "ROWS", 2)
    lines: list[str] = []
    table = EpochTable(lines.append, preset("tiny"))
    shown: list[dict[str, Any]] = [STAGE_1, STAGE_2, STAGE_2, STAGE_2]
    for line in shown:
        table(line)
    kinds = [line.split()[0] for line in lines]
    assert kinds == ["autoencoder", "3/10", "spotter", "12/16", "12/16", "spotter", "12/16"]


def test_the_last_epoch_counts_though_it_is_shorter() -> None:
    lines: list[str] = []
    EpochTable(lines.append, preset("tiny").replace(**{"training.spotter_steps": 1_650}))(STAGE_2)
    assert lines[-1].split()[0] == "12/17"
