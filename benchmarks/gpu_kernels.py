"""Profile a step on a GPU, kernel by kernel: python benchmarks/gpu_kernels.py --preset stl10 --batch 256 --out FILE

Writes where the GPU's time in one step goes: kernels by the operation of TensorFlow that they belong to, and the
longest ones. Needs CUPTI (libcupti.so.12) where CUDA's libraries are found; the extra tf-spot[gpu] brings it.
"""

from __future__ import annotations

import argparse
import collections
import glob
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

import tf_spot  # noqa: E402, F401, I001  (sets the environment that TensorFlow reads when imported)
import tensorflow as tf  # noqa: E402
from training_step import computed_by, ready  # noqa: E402

from tf_spot.config import preset  # noqa: E402
from tf_spot.errors import UserError  # noqa: E402
from tf_spot.ops import hardware  # noqa: E402
from tf_spot.storage.files import write_json  # noqa: E402
from tf_spot.storage.provenance import provenance  # noqa: E402

STEPS = 4  # profiled
LONGEST = 40  # kernels in the file


class Kernel(NamedTuple):
    """What one kernel took in all steps.

    Attributes:
        name: of the kernel, as its library calls it.
        operation: the operation of the graph, NAME:TYPE, or what XLA fused; empty for copies between operations.
        launches, milliseconds: in all steps.
    """

    name: str
    operation: str
    launches: int
    milliseconds: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stage", choices=("spotter", "autoencoder", "backbone"), default="spotter")
    parser.add_argument("--preset", default="stl10")
    parser.add_argument("--precision", default="mixed_bfloat16")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--form", metavar="NAME", action="append", default=[], help="switch this form over")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    if hardware.on_cpu():
        raise SystemExit("there is no GPU to profile")
    config = preset(options.preset).replace(
        **{"training.batch_size": options.batch, "training.precision": options.precision}
    )
    changed = {name: not getattr(hardware.form(), name) for name in options.form}
    try:
        kernels = profiled(options.stage, config, changed)
    except UserError as error:
        raise SystemExit(str(error)) from error
    size = config.data.image_size
    head = {"task": "gpu-kernels", "part": f"{options.stage}, {options.precision}", "image_size": size}
    device = tf.config.experimental.get_device_details(tf.config.list_physical_devices("GPU")[0])["device_name"]
    head |= {"batch": options.batch, "device": device, "changed_forms": changed}
    found = summary(kernels, STEPS)
    write_json(options.out, head | found | provenance())
    print(found["milliseconds"])


def profiled(stage: str, config: Any, changed: dict[str, bool]) -> list[Kernel]:
    """Return the kernels of `STEPS` steps on one batch."""
    size, batch = config.data.image_size, config.training.batch_size
    images = tf.random.uniform((batch, size, size, 3), -1, 1, seed=0)
    with hardware.trial(**changed):
        step = ready(computed_by(stage, config), images)
    float(step(images))
    with tempfile.TemporaryDirectory() as folder:
        tf.profiler.experimental.start(folder)
        for _ in range(STEPS):
            last = step(images)
        float(last)
        tf.profiler.experimental.stop()
        return kernels_in(glob.glob(f"{folder}/plugins/profile/*/*.xplane.pb"))


def kernels_in(paths: Iterable[str]) -> list[Kernel]:
    """Return the kernels on the GPUs' streams in the files of TensorFlow's profiler, the longest first.

    Raises:
        UserError: there are none.
    """
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    took: collections.Counter[tuple[str, str]] = collections.Counter()
    launches: collections.Counter[tuple[str, str]] = collections.Counter()
    for path in paths:
        space = xplane_pb2.XSpace()
        space.ParseFromString(Path(path).read_bytes())
        for plane in space.planes:
            streams = [line for line in plane.lines if "GPU" in plane.name and "Stream" in line.name]
            for event in (event for line in streams for event in line.events):
                known = plane.event_metadata[event.metadata_id]
                told = {plane.stat_metadata[stat.metadata_id].name: stat for stat in (*known.stats, *event.stats)}
                stat = told.get("hlo_op") or told.get("tf_op")
                operation = "" if stat is None else stat.str_value or plane.stat_metadata[stat.ref_value].name
                took[known.name, operation] += event.duration_ps
                launches[known.name, operation] += 1
    if not took:
        raise UserError("the profiler saw no kernel: is libcupti.so.12 among CUDA's libraries (LD_LIBRARY_PATH)?")
    return [Kernel(*key, launches[key], picoseconds / 1e9) for key, picoseconds in took.most_common()]


def summary(kernels: list[Kernel], steps: int) -> dict[str, Any]:
    """Return the milliseconds and launches of a step, by type of operation and of the longest kernels."""
    by_type: collections.Counter[str] = collections.Counter()
    for kernel in kernels:
        by_type[kernel.operation.rpartition(":")[2] or "copies and others"] += kernel.milliseconds / steps
    return {
        "milliseconds": round(sum(kernel.milliseconds for kernel in kernels) / steps, 2),
        "launches": round(sum(kernel.launches for kernel in kernels) / steps),
        "by_type": {name: round(value, 2) for name, value in by_type.most_common() if value >= 0.01},
        "longest": [
            {
                "kernel": kernel.name[:60],
                "operation": kernel.operation,
                "milliseconds": round(kernel.milliseconds / steps, 3),
            }
            for kernel in kernels[:LONGEST]
        ],
    }


if __name__ == "__main__":
    main()
