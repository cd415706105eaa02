"""A product of two matrices, in turns: python benchmarks/matrix_product.py float32|bfloat16

What the processor can do: the roofline of convolutions. One call is one product.
"""

from __future__ import annotations

import sys

import tensorflow as tf
from take_turns import answer

SIZE = 3072
GFLOP = 2 * SIZE**3 / 1e9  # of a product


def main() -> None:
    a, b = (tf.cast(tf.random.normal((SIZE, SIZE)), sys.argv[1]) for _ in range(2))
    product = tf.function(lambda a, b: tf.reduce_sum(tf.matmul(a, b)))
    answer(lambda batch: lambda: float(product(a, b)), gflop=GFLOP)


if __name__ == "__main__":
    main()
