"""Exponents of growth, and the tables of the benchmarks."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

SPEED = runpy.run_path(str(Path(__file__).parents[2] / "studies" / "speed.py"))


def test_time_that_grows_as_the_square_has_the_exponent_two() -> None:
    rows = [{"size": size, "seconds": 3 * size**2} for size in (32, 64, 224)]
    assert SPEED["power"](rows, "size") == pytest.approx(2)


def test_a_table_has_the_ratios_of_the_run_before_where_there_are_some() -> None:
    result = {
        "part": "training-step", "cores": 2, "image_size": 96, "batch": 32, "gflop": 320.0,
        "images_per_second": {"ours, float32": 9.5}, "ratios": {"a": 1.25, "b": 2.0}, "before": {"ratios": {"a": 1.5}},
    }  # fmt: skip
    lines = SPEED["table"](result).splitlines()
    assert lines[0] == "96 pixels, batch 32, full width, 2 cores without bfloat16"
    assert "work of ours" in lines[2] and lines[2].endswith("10.00 GFLOP per image")
    assert lines[-3].split() == ["ratios", "now", "before"]
    assert lines[-2].split() == ["a", "1.25", "1.50"] and lines[-1].split() == ["b", "2.00"]


def test_rows_of_a_growth_table_hold_the_other_quantities_constant() -> None:
    rows = [{"size": size, "batch": batch} for size, batch in ((64, 16), (32, 16), (64, 4))]
    result = {"base": {"size": 64, "batch": 16}, "varied": {"size": [32, 64], "batch": [4, 16]}, "rows": rows}
    varied = SPEED["varied"](result)
    assert [row["size"] for row in varied["size"]] == [32, 64]
    assert [row["batch"] for row in varied["batch"]] == [4, 16]


def test_the_table_of_the_pipeline_has_the_rates_there_are() -> None:
    result = {
        "libjpeg_turbo_images_per_core_second": 4000.0, "pipeline_images_per_core_second": 1000.0,
        "share_of_time_waiting": 0.01,
    }  # fmt: skip
    assert len(SPEED["pipeline"](result).splitlines()) == 3
    lines = SPEED["pipeline"](result | {"cached_pipeline_images_per_core_second": 3000.0}).splitlines()
    assert lines[2].split()[-4:] == ["3,000", "images", "per", "core-second"] and lines[3].endswith("1.0 %")
