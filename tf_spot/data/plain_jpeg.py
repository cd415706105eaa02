"""Small plain JPEG files read by TensorFlow alone: a third of the work of Pillow behind a Python function.

TensorFlow fails on files it cannot decode, and ignores EXIF orientation and CMYK. So a file that is not plain is an
error here; the caller leaves it out and gives it to `read_image`.
"""

from __future__ import annotations

from contextlib import AbstractContextManager

import tensorflow as tf

PLAIN_PIXELS = 2**22  # larger ones are left to `read_image`, which bounds the memory of all readers together
_BARE = b"\xff\xd8\xff\xdb"  # where a JPEG begins without any segment of an application ...
_JFIF = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00"  # ... or with the one that says JFIF, of 16 bytes, alone:
_TABLES, _TABLES_AT = b"\xff\xdb", 20  # the next segment is of quantization tables. EXIF must stand before them
_BEGINNING = _TABLES_AT + len(_TABLES)  # bytes


def read_plain(path: tf.Tensor, image_size: int) -> tf.Tensor:
    """Read a plain JPEG file; the result is bit for bit that of `read_image`.

    Args:
        path: of the file, string scalar.
        image_size: pixels, both sides of the image that will be cut from the photo.

    Returns:
        uint8 RGB (height, width, 3).

    Raises:
        tf.errors.OpError: the file is missing, damaged, no JPEG, or not plain: with EXIF or another application's
            segment, in four colours, or so large that `read_image` would shrink it.
    """
    file = tf.io.read_file(path)
    # Padded, as the bytes below are compared in short files too.
    begins = tf.strings.join([tf.strings.substr(file, 0, _BEGINNING), b"\0" * _BEGINNING])
    jfif = tf.equal(tf.strings.substr(begins, 0, len(_JFIF)), _JFIF)
    tables = tf.equal(tf.strings.substr(begins, _TABLES_AT, len(_TABLES)), _TABLES)
    bare = tf.equal(tf.strings.substr(begins, 0, len(_BARE)), _BARE)
    with _only_if(bare | (jfif & tables)):
        height, width, colours = tf.unstack(tf.image.extract_jpeg_shape(file, tf.int64))
    fits = (tf.minimum(height, width) <= 2 * image_size) & (height * width <= PLAIN_PIXELS) & (colours < 4)
    with _only_if(fits):
        return tf.io.decode_jpeg(file, channels=3, dct_method="INTEGER_ACCURATE")  # Pillow's method


def _only_if(plain: tf.Tensor) -> AbstractContextManager[None]:
    """Let the operations inside fail where `plain`, a bool scalar, is false."""
    # The bare operation: what `tf.debugging` wraps around it takes long.
    return tf.control_dependencies([tf.raw_ops.Assert(condition=plain, data=["not plain"])])
