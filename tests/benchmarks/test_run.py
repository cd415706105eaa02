"""The benchmarks' own arithmetic, and that a step can be timed."""

from __future__ import annotations

import collections
import json
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import tensorflow as tf

ROOT = Path(__file__).parents[2]
RUN = runpy.run_path(str(ROOT / "benchmarks" / "run.py"))
WORK = runpy.run_path(str(ROOT / "benchmarks" / "count_flops.py"))
OPERATIONS = runpy.run_path(str(ROOT / "benchmarks" / "profile_step.py"))
SPEED = runpy.run_path(str(ROOT / "studies" / "speed.py"))


def test_a_ratio_that_fell_by_more_than_a_tenth_and_a_limit_that_is_passed_are_named() -> None:
    committed = {"ratios": {"a": 1.0, "b": 1.0, "c": 1.0}}
    now = {"part": "x", "ratios": {"a": 0.91, "b": 0.89}, "limits": {"s": 2, "t": 2}, "s": 1.9, "t": 2.1}
    assert RUN["failures"](committed, now) == [
        "x: b: 0.89 now, 1.0 committed",
        "x: c: None now, 1.0 committed",
        "x: t: 2.1 now, the limit is 2",
    ]


def test_ours_is_compared_with_the_best_of_the_same_precision_and_with_the_best_of_all() -> None:
    rates = {"ours, float32": [12.0], "ours, bfloat16": [18.0]}
    torch = {"torch, float32": [8.0], "torch, float32, channels last": [10.0], "torch, bfloat16": [20.0]}
    assert RUN["beside_torch"](rates | torch) == {
        "ours, float32 / torch, float32": 1.2,
        "our best / torch's best": 0.9,
    }
    assert RUN["beside_torch"](rates) == {}


def test_a_ratio_is_the_median_of_those_within_a_round() -> None:
    """A machine that is slow for the second round, and for half of the third one."""
    assert RUN["ratio"]([12.0, 6.0, 6.0], [10.0, 5.0, 10.0]) == 1.2


def test_work_that_no_result_needs_does_not_count() -> None:
    """A frozen kernel: its gradient is in the graph, and never runs."""
    kernel = tf.ones((3, 3, 8, 4))

    @tf.function
    def step(images):
        with tf.GradientTape() as tape:
            tape.watch(images)
            maps = tf.nn.conv2d(images, kernel, 2, "SAME")
            score = tf.matmul(tf.reshape(maps, (2, -1)), tf.ones((3 * 3 * 4, 5)))
        return tape.gradient(score, images)

    function = step.get_concrete_function(tf.TensorSpec((2, 6, 6, 8)))
    assert "Conv2DBackpropFilter" in {operation.type for operation in function.graph.get_operations()}
    # of the forward pass the gradient of a linear map needs nothing
    assert WORK["flop"](function) == 2 * (3 * 3 * 8 * 4) * (2 * 3 * 3) + 2 * (2 * 36 * 5)


def test_a_rerun_keeps_the_ratios_of_the_run_before(tmp_path: Path) -> None:
    file = tmp_path / "part.json"
    assert RUN["before"](file) == {}
    file.write_text('{"ratios": {"a": 1.5}, "commit": "c", "rates": 3, "before": {"ratios": {"a": 9}}}')
    assert RUN["before"](file) == {"before": {"ratios": {"a": 1.5}, "commit": "c"}}


def test_time_that_grows_as_the_square_has_the_power_two() -> None:
    rows = [{"size": size, "seconds": 3 * size**2} for size in (32, 64, 224)]
    assert SPEED["power"](rows, "size") == pytest.approx(2)


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
        assert OPERATIONS["by_kind"](collections.Counter({name: 5})) == {kind: 1.0}
    assert OPERATIONS["by_kind"](collections.Counter(Mul=1, AddV2=2, LRN=1)) == {
        "element by element, sums, copies": 0.75, "response norm and its gradient": 0.25,
    }  # fmt: skip


def test_a_child_that_fails_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="(?s)ended with 3.*broken"):
        RUN["child"]([sys.executable, "-c", "import sys; sys.stderr.write('broken'); sys.exit(3)"])


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["spotter", "autoencoder", "backbone"])
def test_a_step_is_timed_and_counted(stage: str) -> None:
    words = ["--stage", stage, "--batch", "4", "--size", "32", "--width", "0.125", "--steps", "2"]
    done = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "training_step.py", *words], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout.splitlines()[-1])
    assert len(figures["seconds"]) == 2 and figures["images_per_second"] > 0 and figures["peak_mib"] > 100
    assert 0 < figures["gflop"] < 10


@pytest.mark.slow
def test_the_shares_of_a_step_add_up() -> None:
    words = ["--batch", "4", "--size", "32", "--width", "0.125"]
    done = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "profile_step.py", *words], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    shares = json.loads(done.stdout.splitlines()[-1])["shares"]
    assert set(shares) == {*OPERATIONS["KINDS"], OPERATIONS["OTHER"]}
    assert sum(shares.values()) == pytest.approx(1, abs=1e-3) and min(shares.values()) > 0
