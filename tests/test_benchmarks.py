"""The benchmarks' own arithmetic, and that a step can be timed."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
RUN = runpy.run_path(str(ROOT / "benchmarks" / "run.py"))


def test_a_ratio_that_fell_by_more_than_a_tenth_is_named() -> None:
    committed = {"ratios": {"a": 1.0, "b": 1.0, "c": 1.0}}
    lines = RUN["regressions"](committed, {"ratios": {"a": 0.91, "b": 0.89}})
    assert lines == ["b: 0.89 now, 1.0 committed", "c: None now, 1.0 committed"]


def test_a_child_that_fails_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="(?s)ended with 3.*broken"):
        RUN["child"]([sys.executable, "-c", "import sys; sys.stderr.write('broken'); sys.exit(3)"])


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["spotter", "autoencoder", "backbone"])
def test_a_step_is_timed_and_counted(stage: str) -> None:
    words = ["--stage", stage, "--batch", "4", "--size", "32", "--width", "0.125", "--steps", "2"]
    done = subprocess.run([sys.executable, ROOT / "benchmarks" / "step.py", *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout.splitlines()[-1])
    assert len(figures["seconds"]) == 2 and figures["images_per_second"] > 0 and figures["peak_mib"] > 100
    assert 0 < figures["gflop"] < 10
