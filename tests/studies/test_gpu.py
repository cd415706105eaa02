"""The table of a part that was measured on a GPU."""

from __future__ import annotations

import runpy
from pathlib import Path

GPU = runpy.run_path(str(Path(__file__).parents[2] / "studies" / "gpu.py"))


def test_a_table_has_what_its_part_has() -> None:
    result = {
        "part": "spotter", "device": "Card 9", "image_size": 96, "batch": 256,
        "images_per_second": {"ours": 4000.0, "torch": 5000.0, "product, bfloat16": 700.0, "copy": 9.0},
        "used": {"ours": {"matrix rate": 0.07, "bandwidth": 0.5}}, "ratios": {"ours / torch": 0.8},
        "missing": {"ours, XLA": "no time was left"},
    }  # fmt: skip
    lines = GPU["table"](result).splitlines()
    assert lines[0] == "spotter, Card 9, 96 pixels, batch 256"
    assert [line.split()[0] for line in lines[1:3]] == ["torch", "ours"] and "4,000 images/s" in lines[2]
    assert lines[3] == "ours uses 7 % of its matrix rate, 50 % of its bandwidth"
    assert lines[-2].split()[-1] == "0.80" and lines[-1] == "not measured: ours, XLA (no time was left)"
    memory = GPU["table"]({**result, "peak_mib": {"small": 900, "tiny": None}, "seconds": {"linear": 12.3}})
    assert "900 MiB" in memory and "12.3 s" in memory and "tiny" not in memory
