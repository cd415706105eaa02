"""Small plain JPEG files read by TensorFlow alone: a third of the work of Pillow behind a Python function.

TensorFlow stops at a file it cannot read and leaves EXIF orientations and four colours aside. So what is not plain is
an error here, and whoever reads leaves such files out and gives them to `read_image`.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tf_spot.data.images import MAX_PIXELS

_BARE = b"\xff\xd8\xff\xdb"  # where a JPEG begins without any segment of an application ...
_JFIF = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00"  # ... or with the one that says JFIF, of 16 bytes, alone:
_TABLES, _TABLES_AT = b"\xff\xdb", 20  # the next segment is of quantization tables. EXIF must stand before them
_BEGINNING = _TABLES_AT + len(_TABLES)  # bytes


def read_plain(path: Any, image_size: int) -> tf.Tensor:
    """What `read_image` makes of a plain JPEG file, bit for bit: uint8 RGB (height, width, 3).

    Args:
        path: of the file, a string.
        image_size: pixels, both sides of the image that will be cut from the photo.

    Raises:
        tf.errors.OpError: the file is missing, damaged, no JPEG, or not plain: with EXIF or another application's
            segment, in four colours, or so large that `read_image` would shrink it.
    """
    file = tf.io.read_file(path)
    begins = tf.strings.join([tf.strings.substr(file, 0, _BEGINNING), b"\0" * _BEGINNING])  # of short files as well
    jfif = tf.equal(tf.strings.substr(begins, 0, len(_JFIF)), _JFIF)
    tables = tf.equal(tf.strings.substr(begins, _TABLES_AT, len(_TABLES)), _TABLES)
    bare = tf.equal(tf.strings.substr(begins, 0, len(_BARE)), _BARE)
    with _only_if(bare | (jfif & tables)):
        height, width, colours = tf.unstack(tf.image.extract_jpeg_shape(file, tf.int64))
    fits = (tf.minimum(height, width) <= 2 * image_size) & (height * width <= MAX_PIXELS) & (colours < 4)
    with _only_if(fits):
        return tf.io.decode_jpeg(file, channels=3, dct_method="INTEGER_ACCURATE")  # Pillow's method


def _only_if(plain: Any) -> Any:
    """Stops what is made inside otherwise. The bare operation: what `tf.debugging` wraps around it takes long."""
    return tf.control_dependencies([tf.raw_ops.Assert(condition=plain, data=["not plain"])])
