"""Operations are sorted into kinds, whose shares add up."""

from __future__ import annotations

import collections
import json
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "profile_step.py"
PROFILE = runpy.run_path(str(SCRIPT))


def test_operations_are_sorted_into_kinds() -> None:
    kinds = {
        "_MklNativeFusedConv2D": "convolutions, forward",
        "_MklNativeConv2DBackpropFilter": "convolutions, gradient by the kernel",
        "_MklNativeConv2DBackpropInput": "convolutions, gradient by the input",
        "_MklMatMul": "products of matrices",
        "_MklBatchMatMulV2": "upsampling and its gradient",
        "FusedBatchNormGradV3": "batch norm and its gradient",
        "LRNGrad": "response norm and its gradient",
        "MaxPoolGrad": "pooling and its gradient",
        "ResizeBilinearGrad": "upsampling and its gradient",
        "AssignAddVariableOp": "optimizers and other assignments",
        "Mul": "element by element, sums, copies",
    }
    for name, kind in kinds.items():
        assert PROFILE["by_kind"](collections.Counter({name: 5})) == {kind: 1.0}
    assert PROFILE["by_kind"](collections.Counter(Mul=1, AddV2=2, LRN=1)) == {
        "element by element, sums, copies": 0.75, "response norm and its gradient": 0.25,
    }  # fmt: skip


@pytest.mark.slow
def test_the_shares_of_a_step_add_up() -> None:
    words = ["--batch", "4", "--size", "32", "--width", "0.125"]
    done = subprocess.run([sys.executable, SCRIPT, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    shares = json.loads(done.stdout.splitlines()[-1])["shares"]
    assert set(shares) == {*PROFILE["KINDS"], PROFILE["OTHER"]}
    assert sum(shares.values()) == pytest.approx(1, abs=1e-3) and min(shares.values()) > 0
