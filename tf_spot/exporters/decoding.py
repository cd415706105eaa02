"""Encoded photos in the graph: refused when too large, decoded, resized, and turned as their EXIF orientation says."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tf_spot.data.images import MAX_PIXELS

_PNG = b"\x89PNG"
_HEADER = 24  # bytes, up to and with a PNG's height; no JPEG is as short
_LOOKED_AT = 100  # parts of a file, at most, before what holds the orientation: a spoiled file may have millions
_ORIENTATION, _SHORT = 0x0112, 3  # tag and type in the list that EXIF begins with


def decoded(file: Any, size: int) -> tf.Tensor:
    """One JPEG or PNG file as float32 (size, size, 3) in [0, 255]: the whole photo, upright, squeezed into the square.

    Raises:
        tf.errors.InvalidArgumentError: cut short, no JPEG or PNG, or above `MAX_PIXELS`.
    """
    whole = tf.debugging.assert_greater_equal(tf.strings.length(file), _HEADER, "not a JPEG or PNG file, or cut short")
    with tf.control_dependencies([whole]):
        is_png = tf.equal(tf.strings.substr(file, 0, 4), _PNG)
    height, width = tf.unstack(tf.cond(is_png, lambda: _png_shape(file), lambda: _jpeg_shape(file)))
    largest = tf.debugging.assert_less_equal(height * width, tf.constant(MAX_PIXELS, tf.int64), "too many pixels")
    with tf.control_dependencies([largest]):
        file = tf.identity(file)
    photo = tf.cond(
        is_png,
        lambda: tf.io.decode_png(file, channels=3),
        # Not TensorFlow's fast default: this one gives what Pillow gives, which decoded the photos of training.
        lambda: tf.io.decode_jpeg(file, channels=3, dct_method="INTEGER_ACCURATE"),
    )
    photo = tf.ensure_shape(photo, (None, None, 3))
    square = tf.clip_by_value(tf.image.resize(photo, (size, size), antialias=True), 0.0, 255.0)
    return turned(square, orientation(file, is_png))  # of few pixels, and the same as turning the photo


def turned(square: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
    """A square picture (size, size, channels), stored with EXIF orientation `number` (1 to 8), upright.

    Source: EXIF 2.3, tag Orientation: where the first row and the first column of what is stored belong.
    """

    def one_of(*numbers: int) -> tf.Tensor:
        return tf.reduce_any(tf.equal(number, tf.constant(numbers, number.dtype)))

    upright = tf.where(number >= 5, tf.transpose(square, (1, 0, 2)), square)
    upright = tf.where(one_of(2, 3, 6, 7), upright[:, ::-1], upright)
    return tf.where(one_of(3, 4, 7, 8), upright[::-1], upright)


def orientation(file: Any, is_png: Any) -> tf.Tensor:
    """The EXIF orientation of a JPEG or PNG file: int64, 1 to 8; 1 where it has none, or one that makes no sense."""
    data = tf.io.decode_raw(file, tf.uint8)
    place = tf.cond(is_png, lambda: _exif_of_png(data), lambda: _exif_of_jpeg(data))
    return tf.cond(place < 0, lambda: tf.constant(1, tf.int64), lambda: _orientation_at(data, place))


def _exif_of_jpeg(data: tf.Tensor) -> tf.Tensor:
    """Where the EXIF data begin, after `Exif 0 0` of a segment APP1; -1 without, before the picture itself.

    A segment is FF, its kind, two bytes of length, which count themselves, and the rest; more FF may stand before.
    """

    def goes_on(place: tf.Tensor, found: tf.Tensor) -> tf.Tensor:
        marker = _bytes(data, place, 2)
        return (found < 0) & (marker[0] == 0xFF) & (marker[1] != 0xDA)  # DA: here the picture begins

    def step(place: tf.Tensor, found: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        kind = _bytes(data, place + 1, 1)[0]
        is_exif = (kind == 0xE1) & tf.reduce_all(_bytes(data, place + 4, 6) == list(b"Exif\0\0"))
        length = tf.maximum(_number(_bytes(data, place + 2, 2)), 2)
        onward = tf.where(kind == 0xFF, tf.constant(1, tf.int64), 2 + length)
        return place + onward, tf.where(is_exif, place + 10, found)

    return _search(goes_on, step, 2)


def _exif_of_png(data: tf.Tensor) -> tf.Tensor:
    """Where the data of the chunk eXIf begin; -1 without, before the picture itself.

    A chunk is four bytes of length, its name, its data and four bytes of checksum.
    """

    def goes_on(place: tf.Tensor, found: tf.Tensor) -> tf.Tensor:
        is_picture = tf.reduce_all(_bytes(data, place + 4, 4) == list(b"IDAT"))
        return (found < 0) & ~is_picture & (place < tf.size(data, tf.int64))

    def step(place: tf.Tensor, found: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        is_exif = tf.reduce_all(_bytes(data, place + 4, 4) == list(b"eXIf"))
        return place + 12 + _number(_bytes(data, place, 4)), tf.where(is_exif, place + 8, found)

    return _search(goes_on, step, 8)


def _search(goes_on: Any, step: Any, first: int) -> tf.Tensor:
    begin = (tf.constant(first, tf.int64), tf.constant(-1, tf.int64))
    return tf.while_loop(goes_on, step, begin, maximum_iterations=_LOOKED_AT)[1]


def _orientation_at(data: tf.Tensor, start: tf.Tensor) -> tf.Tensor:
    """The orientation in EXIF data: an order of bytes (II: low first, MM), 42, and the place of a list of tags.

    The list: two bytes of length; for each tag its number (2), type (2), count (4) and value (4, the first two used).
    """
    head = _bytes(data, start, 8)
    is_low_first = tf.reduce_all(head[:2] == list(b"II"))

    def number(values: tf.Tensor) -> tf.Tensor:
        return _number(tf.where(is_low_first, values[..., ::-1], values))

    tags = start + number(head[4:])
    count = number(_bytes(data, tags, 2))
    rows = tf.reshape(_bytes(data, tags + 2, 12 * count), (-1, 12))
    is_orientation = (number(rows[:, :2]) == _ORIENTATION) & (number(rows[:, 2:4]) == _SHORT)
    value = tf.reduce_max(tf.where(is_orientation, number(rows[:, 8:10]), 1))
    return tf.where((1 <= value) & (value <= 8), value, 1)


def _bytes(data: tf.Tensor, place: Any, count: Any) -> tf.Tensor:
    """`count` bytes of uint8 data from `place` on, int64; 0 where there are none."""
    places = place + tf.range(tf.cast(count, tf.int64))
    size = tf.size(data, tf.int64)
    values = tf.cast(tf.gather(data, tf.minimum(places, size - 1)), tf.int64)
    return tf.where(places < size, values, 0)


def _number(values: tf.Tensor) -> tf.Tensor:
    """Bytes (..., n), high first, as one number each."""
    weights = 256 ** tf.range(tf.shape(values, tf.int64)[-1] - 1, -1, -1)
    return tf.reduce_sum(values * weights, axis=-1)


def _png_shape(file: Any) -> tf.Tensor:
    """Height and width from the header: width and height are at bytes 16 and 20."""
    numbers = tf.cast(tf.io.decode_raw(tf.strings.substr(file, 16, 8), tf.uint8), tf.int64)
    return _number(tf.reshape(numbers, (2, 4)))[::-1]


def _jpeg_shape(file: Any) -> tf.Tensor:
    return tf.cast(tf.image.extract_jpeg_shape(file)[:2], tf.int64)
