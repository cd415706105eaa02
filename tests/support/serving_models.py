"""Tiny SavedModels with known outputs, for the tests of serving and for a TensorFlow Serving of your own.

    python tests/support/serving_models.py DIR

writes DIR/contract/1 and DIR/contract/2, which the contract tests expect a server to serve (docs/serving.md).
"""

import sys
from pathlib import Path

import tensorflow as tf

HUGE = 2_000  # bytes; an encoded image above this is refused by the graph


class Answers(tf.Module):
    """`serving_default` returns mean + version; `image_bytes` the mean of the picture in [-1, 1] + version."""

    def __init__(self, version: int) -> None:
        super().__init__()
        self.version = tf.Variable(float(version))

    @tf.function(input_signature=[tf.TensorSpec((None, 4, 4, 3), tf.float32, "images")])
    def images(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        score = tf.reduce_mean(images, axis=[1, 2, 3]) + self.version
        names = tf.strings.as_string(tf.cast(score, tf.int32))
        return {"score": score, "pixels": images[:, 0, 0], "name": names, "name_bytes": names}

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, "image_bytes")])
    def encoded(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        largest = tf.reduce_max(tf.strings.length(image_bytes))
        with tf.control_dependencies([tf.debugging.assert_less(largest, HUGE, "the image has too many pixels")]):
            decode = lambda one: tf.reduce_mean(tf.cast(tf.io.decode_png(one, 3), tf.float32)) / 127.5 - 1  # noqa: E731
            return {"score": tf.map_fn(decode, image_bytes, fn_output_signature=tf.float32) + self.version}

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.int32, "turns")])
    def slow(self, turns: tf.Tensor) -> dict[str, tf.Tensor]:
        """Loop for some microseconds per turn."""
        end = tf.while_loop(lambda at: at < tf.reduce_max(turns), lambda at: [at + 1], [0], parallel_iterations=1)
        return {"turns": turns + 0 * end[0]}

    @tf.function(input_signature=[tf.TensorSpec((2, 2), tf.int32, "a"), tf.TensorSpec((), tf.int32, "b")])
    def fixed(self, a: tf.Tensor, b: tf.Tensor) -> dict[str, tf.Tensor]:
        """No free first axis: never batched."""
        return {"sum": tf.reduce_sum(a) + b}


def write_version(folder: Path, version: int) -> Path:
    """Write FOLDER/VERSION, aside and renamed, so that a server never sees half of it."""
    module = Answers(version)
    signatures = {
        "serving_default": module.images,
        "image_bytes": module.encoded,
        "slow": module.slow,
        "fixed": module.fixed,
    }
    aside = folder / f".aside-{version}"
    tf.saved_model.save(module, str(aside), signatures)
    return aside.rename(folder / str(version))


if __name__ == "__main__":
    for number in (1, 2):
        write_version(Path(sys.argv[1]) / "contract", number)
