"""The profile of a step: kernels of the profiler's files, and their sums."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tf_spot.errors import UserError

ROOT = Path(__file__).parents[2]


@pytest.fixture
def kernels(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return importlib.import_module("gpu_kernels")


def recorded(path: Path) -> None:
    """Two steps on a GPU: a convolution in each, a copy in one; and something on the CPU."""
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    space = xplane_pb2.XSpace()
    gpu, cpu = space.planes.add(name="/device:GPU:0"), space.planes.add(name="/host:CPU")
    for number, name in enumerate(("conv_kernel", "copy"), start=1):
        gpu.event_metadata[number].name = name
    gpu.stat_metadata[1].name = "tf_op"
    gpu.stat_metadata[2].name = "net/conv1:Conv2D"
    line, steps = gpu.lines.add(name="Stream #13(Compute)"), gpu.lines.add(name="Steps")
    for picoseconds in (2_000_000_000, 4_000_000_000):
        event = line.events.add(metadata_id=1, duration_ps=picoseconds)
        event.stats.add(metadata_id=1, ref_value=2)
    line.events.add(metadata_id=2, duration_ps=1_000_000_000)
    steps.events.add(metadata_id=2, duration_ps=9_000_000_000)
    cpu.lines.add(name="Stream").events.add(metadata_id=1, duration_ps=9_000_000_000)
    path.write_bytes(space.SerializeToString())


def test_kernels_are_summed_by_operation(kernels: Any, tmp_path: Path) -> None:
    recorded(tmp_path / "x.xplane.pb")
    found = kernels.kernels_in([str(tmp_path / "x.xplane.pb")])
    assert found == [("conv_kernel", "net/conv1:Conv2D", 2, 6.0), ("copy", "", 1, 1.0)]
    told = kernels.summary(found, steps=2)
    assert told["milliseconds"] == 3.5 and told["launches"] == 2
    assert told["by_type"] == {"Conv2D": 3.0, "copies and others": 0.5}
    assert told["longest"][0] == {"kernel": "conv_kernel", "operation": "net/conv1:Conv2D", "milliseconds": 3.0}


def test_a_profile_without_kernels_names_what_is_missing(kernels: Any) -> None:
    with pytest.raises(UserError, match="libcupti"):
        kernels.kernels_in([])


def test_without_a_gpu_it_says_so(tmp_path: Path) -> None:
    command = [sys.executable, ROOT / "benchmarks" / "gpu_kernels.py", "--out", tmp_path / "x.json"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr.endswith("there is no GPU to profile\n")
