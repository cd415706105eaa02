"""The table of a profiled step."""

from __future__ import annotations

import runpy
from pathlib import Path

STUDY = runpy.run_path(str(Path(__file__).parents[2] / "studies" / "gpu_kernels.py"))


def test_the_table_shows_the_longest_operations_first() -> None:
    by_type = {"Conv2D": 6.0} | {f"Op{number}": 1.0 for number in range(20)}
    result = {"part": "spotter", "device": "Card 9", "image_size": 96, "batch": 256, "milliseconds": 53.4,
              "launches": 1595, "by_type": by_type}  # fmt: skip
    lines = STUDY["table"](result).splitlines()
    assert lines[1] == "53.4 ms in 1,595 kernels; by operation, ms:" and lines[2].split() == ["Conv2D", "6.0"]
    assert len(lines) == 2 + STUDY["SHOWN"]
    assert STUDY["table"](result | {"note": "a busy card"}).splitlines()[-1] == "a busy card"
