"""Time a step: python benchmarks/training_step.py --stage spotter --batch 32 --size 96 [--turns]

The batch is constant and random, so that only the step is timed. Prints one line of JSON: images per second (median),
seconds of each step, floating-point operations per step (as the layers are defined: an algorithm that needs fewer does
not count as less work), and the peak memory of the process. With `--turns` it takes turns, see take_turns.py.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import tf_spot  # noqa: E402, F401, I001  (sets the environment that TensorFlow reads when imported)
import tensorflow as tf  # noqa: E402
from take_turns import answer  # noqa: E402
from count_flops import as_defined, flop  # noqa: E402

from tf_spot.config import Config, preset  # noqa: E402
from tf_spot.models.from_config import build_autoencoder, build_spotter  # noqa: E402
from tf_spot.ops import hardware  # noqa: E402

Computed = Callable[[tf.Tensor], tf.Tensor]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stage", choices=("autoencoder", "spotter", "backbone"), default="spotter")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--width", type=float, default=1.0)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--turns", action="store_true")
    options = parser.parse_args()
    computed, images = step_of(options)
    if options.turns:
        step = ready(computed, images)
        answer(lambda batch: lambda: step(images), gflop=gflop_of(computed, images))
    else:
        print(json.dumps(measure(computed, images, options.steps)))


def step_of(options: argparse.Namespace) -> tuple[Computed, tf.Tensor]:
    """Return the function to be timed, and its images: (batch, size, size, 3) in [-1, 1]."""
    fields = {"data.image_size": options.size, "network.width": options.width, "training.batch_size": options.batch}
    config = preset("stl10").replace(**fields).override(options.set)
    images = tf.random.uniform((options.batch, options.size, options.size, 3), -1, 1, seed=0)
    return computed_by(options.stage, config), images


def ready(computed: Computed, images: tf.Tensor) -> Computed:
    """Return `computed` as a graph, traced and warmed up."""
    step = tf.function(computed, jit_compile=hardware.form().jit_compile)
    for _ in range(2):
        step(images)
    return step


def measure(computed: Computed, images: tf.Tensor, steps: int) -> dict[str, Any]:
    """Time `steps` steps one by one."""
    step = ready(computed, images)
    seconds = []
    for _ in range(steps):
        started = time.perf_counter()
        step(images)
        seconds.append(time.perf_counter() - started)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return {
        "images_per_second": round(len(images) / statistics.median(seconds), 3),
        "seconds": [round(value, 4) for value in seconds],
        "gflop": gflop_of(computed, images),
        "peak_mib": peak,
    }


def gflop_of(computed: Computed, images: tf.Tensor) -> float:
    """Return the 10^9 floating-point operations of a step, as the layers are defined."""
    return round(flop(as_defined(computed, images)) / 1e9, 3)


def computed_by(stage: str, config: Config) -> Computed:
    """Return a function of images whose result depends on the whole step, so that waiting for it times all of it."""
    autoencoder = build_autoencoder(config)
    if stage == "autoencoder":
        return lambda images: _waited(autoencoder.train_step(images))
    spotter = build_spotter(config, autoencoder)
    if stage == "spotter":
        return lambda images: _waited(spotter.train_step(images))
    return lambda images: tf.add_n([tf.reduce_sum(maps) for maps in spotter.backbone(images).values()])


def _waited(logs: dict[str, tf.Tensor]) -> tf.Tensor:
    return tf.add_n(list(logs.values()))


if __name__ == "__main__":
    main()
