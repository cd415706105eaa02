"""Multiply matrices, in turns: python benchmarks/matrix_product.py float32|bfloat16

Measures the roofline of a processor whose convolutions are products. One call is one product.
"""

from __future__ import annotations

import sys

import tensorflow as tf
from take_turns import answer

SIZE = 3072
GFLOP = 2 * SIZE**3 / 1e9  # per product


def main() -> None:
    a, b = (tf.cast(tf.random.normal((SIZE, SIZE)), sys.argv[1]) for _ in range(2))
    product = tf.function(lambda a, b: tf.reduce_sum(tf.matmul(a, b)))
    answer(lambda batch: lambda: float(product(a, b)), gflop=GFLOP)


if __name__ == "__main__":
    main()
