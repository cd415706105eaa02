"""Profile an adversarial step by kind of operation: python benchmarks/profile_step.py

TensorFlow's profiler records every operation of two steps; the times of one kind are summed. Prints one line of JSON:
`seconds` per step, and the share of each kind in the time of all operations.
"""

from __future__ import annotations

import argparse
import collections
import json
import re
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import tf_spot  # noqa: E402, F401, I001  (sets the environment that TensorFlow reads when imported)
import tensorflow as tf  # noqa: E402

from tf_spot.config import preset  # noqa: E402
from tf_spot.models.from_config import build_autoencoder, build_spotter  # noqa: E402

STEPS = 2
KINDS = {  # an operation belongs to the first pattern that its type matches
    "convolutions, forward": r"Conv2D$|FusedConv2D$|DepthwiseConv2dNative$",
    "convolutions, gradient by the kernel": r"Conv2DBackpropFilter",
    "convolutions, gradient by the input": r"Conv2DBackpropInput",
    "upsampling and its gradient": r"Resize|BatchMatMul|DepthToSpace|SpaceToDepth",
    "products of matrices": r"MatMul",
    "batch norm and its gradient": r"BatchNorm",
    "response norm and its gradient": r"LRN",
    "pooling and its gradient": r"Pool",
    "optimizers and other assignments": r"Assign|Adam",
}
OTHER = "element by element, sums, copies"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--width", type=float, default=1.0)
    print(json.dumps(measure(parser.parse_args())))


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Return seconds per step and the share of each kind of operation."""
    fields = {"data.image_size": options.size, "network.width": options.width, "training.batch_size": options.batch}
    config = preset("stl10").replace(**fields)
    spotter = build_spotter(config, build_autoencoder(config))
    step = tf.function(lambda images: tf.add_n(list(spotter.train_step(images).values())))
    images = tf.random.uniform((options.batch, options.size, options.size, 3), -1, 1, seed=0)
    for _ in range(2):  # tracing and warm-up
        step(images)
    with tempfile.TemporaryDirectory() as folder:
        tf.profiler.experimental.start(folder)
        started = time.perf_counter()
        for _ in range(STEPS):
            step(images)
        seconds = (time.perf_counter() - started) / STEPS
        tf.profiler.experimental.stop()
        (file,) = Path(folder).rglob("*.xplane.pb")
        shares = by_kind(operations(file.read_bytes()))
    return {"seconds": round(seconds, 3), "shares": shares}


def operations(content: bytes) -> collections.Counter[str]:
    """Return picoseconds by type of operation. Its events are named NAME:TYPE, those of the executor CLASS::METHOD."""
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    spent: collections.Counter[str] = collections.Counter()
    for plane in xplane_pb2.XSpace.FromString(content).planes:
        for line in plane.lines:
            for event in line.events:
                name, colon, kind = plane.event_metadata[event.metadata_id].name.rpartition(":")
                if colon and re.fullmatch(r"\w+", kind) and not name.endswith(":"):
                    spent[kind] += event.duration_ps
    return spent


def by_kind(spent: collections.Counter[str]) -> dict[str, float]:
    """Return the share of each kind in the total, largest first."""
    sums: collections.Counter[str] = collections.Counter()
    for name, time_ps in spent.items():
        sums[next((kind for kind, pattern in KINDS.items() if re.search(pattern, name)), OTHER)] += time_ps
    return {kind: round(time_ps / sums.total(), 4) for kind, time_ps in sums.most_common()}


if __name__ == "__main__":
    main()
