"""The table of rows that were judged one by one."""

from __future__ import annotations

import runpy
from pathlib import Path

STUDY = runpy.run_path(str(Path(__file__).parents[2] / "studies" / "rows.py"))


def test_a_row_that_was_broken_off_says_so() -> None:
    layers = {f"conv{number}": 50.0 + number for number in range(1, 6)}
    row = {"says": "the method as it is", "paper": 79.94, "steps": 10, "steps_planned": 20, "batch": 128, "stderr": 0.8,
           "by_layer": layers}  # fmt: skip
    result = {"data": "photos", "random": {"by_layer": layers}, "rows": {
        "baseline": row, "k": row | {"says": "no repair network", "steps": 20}}}  # fmt: skip
    result["rows"]["k"] |= {"paper": 54.74, "by_layer": layers | {"conv5": 54.0}}
    head, _, baseline, k, random, ranks = STUDY["table"](result).splitlines()
    assert head.startswith("rows of Table 1 on photos") and "0.8 of conv5" in head
    assert "1,280 of 2,560" in baseline and baseline.split()[-1] == "79.94" and " 55.0" in baseline
    assert k.startswith("(k) no repair network") and " 2,560 " in k and " of " not in k[24:]
    assert ranks == "rank correlation of conv5 with the paper's order of these rows: 1.00"
    assert random.startswith("the untrained network") and random.split()[-1] == "55.0"
