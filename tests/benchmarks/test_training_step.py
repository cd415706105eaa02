"""Each stage can be timed, and its operations counted."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "training_step.py"


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["spotter", "autoencoder", "backbone"])
def test_a_step_is_timed_and_counted(stage: str) -> None:
    words = ["--stage", stage, "--batch", "4", "--size", "32", "--width", "0.125", "--steps", "2"]
    done = subprocess.run([sys.executable, SCRIPT, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    metrics = json.loads(done.stdout.splitlines()[-1])
    assert len(metrics["seconds"]) == 2 and metrics["images_per_second"] > 0 and metrics["peak_mib"] > 100
    assert 0 < metrics["gflop"] < 10
