"""What the methods of a comparison compute: stages, sums, the table."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest

from tests.support.comparison_recipe import CONFIG
from tf_spot.data import open_source

STUDY = runpy.run_path(str(Path(__file__).parents[2] / "studies" / "computation.py"))


def test_stages_are_computed_one_after_the_other() -> None:
    trained = [(100, 2.0), (300, 10.0)]
    assert [STUDY["computed"](images, trained) for images in (50, 100, 400)] == pytest.approx([0.1, 0.2, 3.2])


def test_rotation_computes_an_image_four_times_and_spot_has_two_stages() -> None:
    source = open_source("photos", CONFIG)
    ((images, one),) = STUDY["stages"]("supervised", CONFIG, source, 80)
    ((_, four),) = STUDY["stages"]("rotation", CONFIG, source, 80)
    assert images == 80 and four / one == pytest.approx(4, rel=0.01)
    first, second = STUDY["stages"]("spot", CONFIG, source, 80)
    assert (first[0], second[0]) == (20, 60), "shared as the recipe's steps, 1 to 3"
    assert 0 < first[1] < second[1]


def test_the_table_is_in_the_order_of_conv5() -> None:
    rows = {
        "spot": {"gflop_per_image": 0.21, "teraflop": 10.1, "conv5": 54.8},
        "lci": {"gflop_per_image": 0.46, "teraflop": 21.8, "conv5": 60.2},
    }
    result = {"data": "photos", "budget": {"images": 48_000, "seconds": None}, "methods": rows}
    head, _, lci, spot = STUDY["table"](result).splitlines()
    assert head == "photos, 48,000 images a method"
    assert lci.split() == ["lci", "0.460", "21.8", "60.2"] and spot.startswith("spot")


def test_a_budget_of_seconds_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compared = tmp_path / "compare.json"
    compared.write_text(json.dumps({"budget": {"images": None, "seconds": 5.0}}))
    monkeypatch.setattr("sys.argv", ["computation.py", str(compared), "--data", "photos", "--out", "x.json"])
    with pytest.raises(SystemExit, match="must have a budget of images"):
        STUDY["main"]()
