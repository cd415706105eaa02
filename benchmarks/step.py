"""One training step, timed: python benchmarks/step.py --stage spotter --batch 32 --size 96

On a constant random batch, so that the step alone is timed. Prints one line of JSON: images a second (median), seconds
of each step, floating-point operations a step (as the layers are defined: forms that need fewer do not count as less
work), and the peak memory of the process.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import statistics
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import tf_spot  # noqa: E402, F401, I001  (its settings of the environment come before TensorFlow)
import tensorflow as tf  # noqa: E402

from tf_spot import convolutions  # noqa: E402
from tf_spot.config import preset  # noqa: E402
from tf_spot.training import build_autoencoder, build_spotter  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stage", choices=("autoencoder", "spotter", "backbone"), default="spotter")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--width", type=float, default=1.0)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--set", action="append", default=[])
    print(json.dumps(measure(parser.parse_args())))


def measure(options: argparse.Namespace) -> dict[str, Any]:
    fields = {"data.image_size": options.size, "network.width": options.width, "training.batch_size": options.batch}
    config = preset("stl10").replace(**fields).override(options.set)
    computed = _computed(options.stage, config)
    step = tf.function(computed)
    images = tf.random.uniform((options.batch, options.size, options.size, 3), -1, 1, seed=0)
    for _ in range(2):  # tracing, and what is allocated at first use
        step(images)
    seconds = []
    for _ in range(options.steps):
        started = time.perf_counter()
        step(images)
        seconds.append(time.perf_counter() - started)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    convolutions.on_cpu = lambda: False  # from here on the layers are what they say they are
    return {
        "images_per_second": round(options.batch / statistics.median(seconds), 3),
        "seconds": [round(value, 4) for value in seconds],
        "gflop": round(flop(tf.function(computed).get_concrete_function(images)) / 1e9, 3),
        "peak_mib": peak,
    }


def _computed(stage: str, config: Any) -> Any:
    """A function of images that returns something computed last, so that it can be waited for."""
    autoencoder = build_autoencoder(config)
    if stage == "autoencoder":
        return lambda images: _waited(autoencoder.train_step(images))
    spotter = build_spotter(config, autoencoder)
    if stage == "spotter":
        return lambda images: _waited(spotter.train_step(images))
    return lambda images: tf.add_n([tf.reduce_sum(maps) for maps in spotter.backbone(images).values()])


def _waited(logs: dict[str, tf.Tensor]) -> tf.Tensor:
    return tf.add_n(list(logs.values()))


def flop(function: Any) -> int:
    """Floating-point operations of the convolutions and matrix products that the function's result needs.

    A tape also writes gradients into the graph that nobody asks for, such as those of frozen kernels; they never run.
    """
    needed = [output.op for output in function.graph.outputs] + list(function.graph.control_outputs)
    found = set(needed)
    while needed:
        operation = needed.pop()
        new = {tensor.op for tensor in operation.inputs} | set(operation.control_inputs)
        needed.extend(new - found)
        found |= new
    return sum(_work(operation) for operation in found)


def _work(operation: Any) -> int:
    """Two for every product of two numbers: the kernel's size times the places and images where it is laid on."""
    if operation.type not in ("MatMul", "Conv2D", "Conv2DBackpropInput", "Conv2DBackpropFilter"):
        return 0
    shapes = [tuple(tensor.shape) for tensor in (*operation.inputs, *operation.outputs)]
    if operation.type == "MatMul":
        inner = shapes[0][0 if operation.get_attr("transpose_a") else 1]
        return 2 * inner * math.prod(shapes[2])
    kernel = shapes[3] if operation.type == "Conv2DBackpropFilter" else shapes[1]
    return 2 * math.prod(kernel) * math.prod(shapes[2][:3])


if __name__ == "__main__":
    main()
