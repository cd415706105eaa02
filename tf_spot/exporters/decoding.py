"""Encoded photos inside the graph: size limit, decoding, resizing, and rotation by their EXIF orientation."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from tf_spot.data.images import MAX_PIXELS

_PNG, _JPEG = b"\x89PNG", b"\xff\xd8\xff"
_HEADER_SIZE = 24  # bytes, up to and including a PNG's height; every JPEG is longer
_MAX_SEGMENTS = 100  # segments or chunks searched for EXIF data: a damaged file may have millions
_ORIENTATION, _SHORT = 0x0112, 3  # tag and type of the wanted entry of the EXIF directory

_Condition = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
_Step = Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]


def decode_photo(file: tf.Tensor, size: int) -> tf.Tensor:
    """Decode one JPEG or PNG file: the whole photo, upright, resized to a square without regard to its proportions.

    Args:
        file: scalar string, the bytes of the file.
        size: pixels, both sides of the result.

    Returns:
        float32 (size, size, 3), RGB in [0, 255].

    Raises:
        tf.errors.InvalidArgumentError: the file is truncated, no JPEG or PNG, or has more than `MAX_PIXELS` pixels.
    """
    kind = "a photo must be a JPEG or PNG file; received: "
    has_header = tf.strings.length(file) >= _HEADER_SIZE
    with tf.control_dependencies([tf.debugging.Assert(has_header, [kind + "one that is cut short"])]):
        is_png = tf.equal(tf.strings.substr(file, 0, 4), _PNG)
        is_known = is_png | tf.equal(tf.strings.substr(file, 0, 3), _JPEG)
    with tf.control_dependencies([tf.debugging.Assert(is_known, [kind + "another format, or no photo"])]):
        file = tf.identity(file)
    height, width = tf.unstack(tf.cond(is_png, lambda: _png_shape(file), lambda: _jpeg_shape(file)))
    too_many = f"a photo must have at most {MAX_PIXELS:,} pixels; received: too many pixels"
    small_enough = tf.debugging.Assert(height * width <= MAX_PIXELS, [too_many])
    with tf.control_dependencies([small_enough]):  # the header is checked before the pixels are decoded
        file = tf.identity(file)
    photo = tf.cond(
        is_png,
        lambda: tf.io.decode_png(file, channels=3),
        # Not TensorFlow's default, the fast method: this one agrees with Pillow, which decoded the training photos.
        lambda: tf.io.decode_jpeg(file, channels=3, dct_method="INTEGER_ACCURATE"),
    )
    photo = tf.ensure_shape(photo, (None, None, 3))
    # Antialiasing overshoots at edges, hence the clip.
    square = tf.clip_by_value(tf.image.resize(photo, (size, size), antialias=True), 0.0, 255.0)
    # Rotating the small square is cheaper than rotating the photo, and gives the same.
    return rotate_upright(square, exif_orientation(file, is_png))


def rotate_upright(square: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Return a square picture, stored with an EXIF orientation of 1 to 8, upright.

    Args:
        square: (size, size, channels).
        orientation: scalar integer.

    Returns:
        Like `square`.

    Source: EXIF 2.3, tag Orientation: where the first row and the first column of the stored picture belong.
    """

    def is_any_of(*values: int) -> tf.Tensor:
        return tf.reduce_any(tf.equal(orientation, tf.constant(values, orientation.dtype)))

    upright = tf.where(orientation >= 5, tf.transpose(square, (1, 0, 2)), square)
    upright = tf.where(is_any_of(2, 3, 6, 7), upright[:, ::-1], upright)
    return tf.where(is_any_of(3, 4, 7, 8), upright[::-1], upright)


def exif_orientation(file: tf.Tensor, is_png: tf.Tensor) -> tf.Tensor:
    """Return the EXIF orientation of a JPEG or PNG file.

    Args:
        file: scalar string, the bytes of the file.
        is_png: scalar bool.

    Returns:
        int64 scalar, 1 to 8; 1 if the file has no orientation or an invalid one.
    """
    data = tf.io.decode_raw(file, tf.uint8)  # (bytes,)
    offset = tf.cond(is_png, lambda: _exif_of_png(data), lambda: _exif_of_jpeg(data))
    return tf.cond(offset < 0, lambda: tf.constant(1, tf.int64), lambda: _orientation_at(data, offset))


def _exif_of_jpeg(data: tf.Tensor) -> tf.Tensor:
    """Return the offset of the EXIF data, after `Exif 0 0` of a segment APP1; -1 if none precede the picture.

    A segment is FF, its kind, two bytes of length, which count themselves, and the content; more FF may precede it.
    """

    def is_unfinished(offset: tf.Tensor, found: tf.Tensor) -> tf.Tensor:
        marker = _bytes(data, offset, 2)
        return (found < 0) & (marker[0] == 0xFF) & (marker[1] != 0xDA)  # DA: the picture begins

    def step(offset: tf.Tensor, found: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        kind = _bytes(data, offset + 1, 1)[0]
        is_exif = (kind == 0xE1) & tf.reduce_all(_bytes(data, offset + 4, 6) == list(b"Exif\0\0"))
        length = tf.maximum(_number(_bytes(data, offset + 2, 2)), 2)
        onward = tf.where(kind == 0xFF, tf.constant(1, tf.int64), 2 + length)
        return offset + onward, tf.where(is_exif, offset + 10, found)

    return _search(is_unfinished, step, 2)


def _exif_of_png(data: tf.Tensor) -> tf.Tensor:
    """Return the offset of the data of the chunk eXIf; -1 if none precedes the picture.

    A chunk is four bytes of length, its name, its data and four bytes of checksum.
    """

    def is_unfinished(offset: tf.Tensor, found: tf.Tensor) -> tf.Tensor:
        is_picture = tf.reduce_all(_bytes(data, offset + 4, 4) == list(b"IDAT"))
        return (found < 0) & ~is_picture & (offset < tf.size(data, tf.int64))

    def step(offset: tf.Tensor, found: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        is_exif = tf.reduce_all(_bytes(data, offset + 4, 4) == list(b"eXIf"))
        return offset + 12 + _number(_bytes(data, offset, 4)), tf.where(is_exif, offset + 8, found)

    return _search(is_unfinished, step, 8)


def _search(is_unfinished: _Condition, step: _Step, first: int) -> tf.Tensor:
    """Step from segment to segment, from the offset `first`; return the offset found, or -1."""
    start = (tf.constant(first, tf.int64), tf.constant(-1, tf.int64))
    return tf.while_loop(is_unfinished, step, start, maximum_iterations=_MAX_SEGMENTS)[1]


def _orientation_at(data: tf.Tensor, start: tf.Tensor) -> tf.Tensor:
    """Return the orientation in the EXIF data at `start`.

    They begin with the byte order (II: little-endian, MM: big-endian), the number 42, and the offset of a directory of
    tags: two bytes of count; for each tag its number (2), type (2), count (4) and value (4, the first two used).
    """
    head = _bytes(data, start, 8)
    is_little_endian = tf.reduce_all(head[:2] == list(b"II"))

    def number(values: tf.Tensor) -> tf.Tensor:
        return _number(tf.where(is_little_endian, values[..., ::-1], values))

    directory = start + number(head[4:])
    count = number(_bytes(data, directory, 2))
    entries = tf.reshape(_bytes(data, directory + 2, 12 * count), (-1, 12))  # (tags, 12 bytes)
    is_orientation = (number(entries[:, :2]) == _ORIENTATION) & (number(entries[:, 2:4]) == _SHORT)
    value = tf.reduce_max(tf.where(is_orientation, number(entries[:, 8:10]), 1))
    return tf.where((1 <= value) & (value <= 8), value, 1)


def _bytes(data: tf.Tensor, offset: tf.Tensor | int, count: tf.Tensor | int) -> tf.Tensor:
    """Return `count` bytes of uint8 data from `offset` on as int64; 0 where there are none: a header may lie."""
    indices = offset + tf.range(tf.cast(count, tf.int64))
    size = tf.size(data, tf.int64)
    values = tf.cast(tf.gather(data, tf.minimum(indices, size - 1)), tf.int64)
    return tf.where(indices < size, values, 0)


def _number(values: tf.Tensor) -> tf.Tensor:
    """Return big-endian bytes (..., n) as one number each, (...)."""
    weights = 256 ** tf.range(tf.shape(values, tf.int64)[-1] - 1, -1, -1)
    return tf.reduce_sum(values * weights, axis=-1)


def _png_shape(file: tf.Tensor) -> tf.Tensor:
    """Return height and width from the header, where the width is at byte 16 and the height at byte 20."""
    numbers = tf.cast(tf.io.decode_raw(tf.strings.substr(file, 16, 8), tf.uint8), tf.int64)
    return _number(tf.reshape(numbers, (2, 4)))[::-1]


def _jpeg_shape(file: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.image.extract_jpeg_shape(file)[:2], tf.int64)  # without the channels
