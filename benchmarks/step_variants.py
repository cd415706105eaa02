"""Our steps, in turns, in many variants in one process: python benchmarks/step_variants.py --batch 256 --size 96

A contestant of benchmarks/gpu.py. Each line on stdin names a `stage` (spotter, autoencoder, backbone, or `product` and
`copy`, the limits of the device), a `precision`, and changes of the `form` (ops/hardware.py); `preset` and `batch` may
differ from the usual. `--deterministic` holds for the whole process.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import tf_spot  # noqa: E402, F401, I001  (sets the environment that TensorFlow reads when imported)
import keras  # noqa: E402
import tensorflow as tf  # noqa: E402
from count_flops import traffic  # noqa: E402
from take_turns import answer_each  # noqa: E402
from training_step import computed_by, gflop_of  # noqa: E402

from tf_spot.config import Config, preset  # noqa: E402
from tf_spot.ops import hardware  # noqa: E402

PRECISIONS = {"float32": "float32", "bfloat16": "mixed_bfloat16"}


class Work:
    """Some steps of one kind, and what is known of them.

    Attributes:
        properties: `gflop` and `gigabytes` of a step, as the operations of its graph are defined; on a GPU `peak_mib`,
            the memory that it takes beyond what was taken before.
    """

    def __init__(self, step: Callable[[], tf.Tensor], images: int, properties: dict[str, Any]) -> None:
        self.step, self.images, self.properties = step, images, properties
        self.steps = 1 if hardware.on_cpu() else 5  # between two looks at the clock
        self.before = taken()["current"]

    def __call__(self) -> int:
        """Work a while and wait for the device; return the images that were processed."""
        for _ in range(self.steps):
            last = self.step()
        float(last)
        if "peak" in (memory := taken()):
            self.properties["peak_mib"] = (memory["peak"] - self.before) // 2**20
        return self.images * self.steps


def taken() -> dict[str, int]:
    """Return bytes of the GPU's memory: those taken now, and the most since the last reset; without a GPU no peak."""
    return {"current": 0} if hardware.on_cpu() else tf.config.experimental.get_memory_info("GPU:0")


def prepare(options: argparse.Namespace, described: dict[str, Any]) -> Work:
    """Return the work that is described, see the module."""
    if not hardware.on_cpu():
        tf.config.experimental.reset_memory_stats("GPU:0")
    if described["stage"] in LIMITS:
        return LIMITS[described["stage"]](options, described["precision"])
    config = recipe(options, described)
    size, batch = config.data.image_size, config.training.batch_size
    images = tf.random.uniform((batch, size, size, 3), -1, 1, seed=0)
    with hardware.trial(**described.get("form", {})):
        computed = computed_by(described["stage"], config)
        step = tf.function(computed, jit_compile=hardware.form().jit_compile)
        moved = round(traffic(step.get_concrete_function(images)) / 1e9, 3)  # traced in this form
    kind = (described["stage"], described.get("preset"), size, batch)
    if kind not in _gflop:  # whatever the precision and the form
        _gflop[kind] = gflop_of(computed, images)
    return Work(lambda: step(images), batch, {"gflop": _gflop[kind], "gigabytes": moved})


_gflop: dict[tuple[str, str | None, int, int], float] = {}


def recipe(options: argparse.Namespace, described: dict[str, Any]) -> Config:
    """Return the preset with the size, width, batch and precision of this work."""
    fields = {
        "training.batch_size": described.get("batch", options.batch),
        "training.precision": PRECISIONS[described["precision"]],
    }
    if "preset" not in described:
        fields |= {"data.image_size": options.size, "network.width": options.width}
    return preset(described.get("preset", "stl10")).replace(**fields)


def product(options: argparse.Namespace, precision: str) -> Work:
    """Multiply two matrices: one "image" is one product."""
    a, b = (tf.cast(tf.random.normal((options.matrix, options.matrix)), precision) for _ in range(2))
    multiply = tf.function(lambda a, b: tf.reduce_max(tf.matmul(a, b)))
    return Work(lambda: tf.cast(multiply(a, b), tf.float32), 1, {"gflop": 2 * options.matrix**3 / 1e9})


def copy(options: argparse.Namespace, precision: str) -> Work:
    """Halve every number of a large tensor, which reads and writes it: one "image" is one copy."""
    numbers = tf.ones((options.matrix, options.matrix), precision)
    halve = tf.function(lambda x: x * tf.constant(0.5, x.dtype))
    return Work(
        lambda: halve(numbers)[0, 0], 1, {"gigabytes": 2 * numbers.shape.num_elements() * numbers.dtype.size / 1e9}
    )


LIMITS = {"product": product, "copy": copy}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--width", type=float, default=1.0)
    parser.add_argument("--matrix", type=int, default=8192, help="rows and columns of the largest matrix product")
    parser.add_argument("--deterministic", action="store_true")
    options = parser.parse_args()
    if options.deterministic:
        keras.utils.set_random_seed(0)
        tf.config.experimental.enable_op_determinism()
    gpus = tf.config.list_physical_devices("GPU")
    details = tf.config.experimental.get_device_details(gpus[0]) if gpus else {}
    answer_each(
        lambda described: prepare(options, described), device=details.get("device_name", "GPU" if gpus else "CPU")
    )


if __name__ == "__main__":
    main()
