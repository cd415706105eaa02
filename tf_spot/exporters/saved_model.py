"""SavedModel: arrays or encoded photos in; laid out for TensorFlow Serving, with requests to warm up with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tf_spot.data.images import MAX_PIXELS
from tf_spot.errors import UserError
from tf_spot.exporters.parts import Part

WARM_UP = "assets.extra/tf_serving_warmup_requests"  # where TensorFlow Serving looks
_PNG = b"\x89PNG"
_HEADER = 24  # bytes, up to and with a PNG's height; no JPEG is as short
_XLA = b"_XlaMustCompile"  # a stock TensorFlow Serving refuses functions that ask for it


def write_saved_model(part: Part, folder: Path, photos: np.ndarray) -> None:
    """Writes saved_model.pb with the signatures `serving_default` and `image_bytes`, and warm-up requests.

    Raises:
        UserError: the serving extra is missing, or an operation would need XLA.
    """
    part.image_bytes = _encoded(part)
    signatures = {"serving_default": part.images, "image_bytes": part.image_bytes}
    tf.saved_model.save(part, str(folder), signatures=signatures)
    if _XLA in (folder / "saved_model.pb").read_bytes():
        raise UserError("the network holds a function that only XLA compiles, which TensorFlow Serving refuses")
    _write_warm_up(folder / WARM_UP, part.name, photos)


def write_plain(part: Part, folder: Path) -> None:
    """Only `serving_default`: what the TFLite converter starts from."""
    tf.saved_model.save(part, str(folder), signatures={"serving_default": part.images})


def _encoded(part: Part) -> Any:
    size = part.image_size

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, "image_bytes")])
    def image_bytes(image_bytes: Any) -> dict[str, tf.Tensor]:
        images = tf.map_fn(
            lambda file: _decoded(file, size),
            image_bytes,
            fn_output_signature=tf.TensorSpec((size, size, 3), tf.float32),
        )
        return part.images(images)

    return image_bytes


def _decoded(file: Any, size: int) -> tf.Tensor:
    """One JPEG or PNG file as float32 (size, size, 3) in [0, 255]: the whole photo, squeezed into the square."""
    whole = tf.debugging.assert_greater_equal(tf.strings.length(file), _HEADER, "not a JPEG or PNG file, or cut short")
    with tf.control_dependencies([whole]):
        is_png = tf.equal(tf.strings.substr(file, 0, 4), _PNG)
    height, width = tf.unstack(tf.cond(is_png, lambda: _png_shape(file), lambda: _jpeg_shape(file)))
    largest = tf.debugging.assert_less_equal(height * width, tf.constant(MAX_PIXELS, tf.int64), "too many pixels")
    with tf.control_dependencies([largest]):
        photo = tf.io.decode_image(tf.identity(file), channels=3, expand_animations=False)
    photo = tf.ensure_shape(photo, (None, None, 3))
    return tf.clip_by_value(tf.image.resize(photo, (size, size), antialias=True), 0.0, 255.0)


def _png_shape(file: Any) -> tf.Tensor:
    """Height and width from the header: width and height are big-endian at bytes 16 and 20."""
    numbers = tf.cast(tf.io.decode_raw(tf.strings.substr(file, 16, 8), tf.uint8), tf.int64)
    sides = tf.reduce_sum(tf.reshape(numbers, (2, 4)) * tf.constant([2**24, 2**16, 2**8, 1], tf.int64), axis=1)
    return sides[::-1]


def _jpeg_shape(file: Any) -> tf.Tensor:
    return tf.cast(tf.image.extract_jpeg_shape(file)[:2], tf.int64)


def _write_warm_up(path: Path, name: str, photos: np.ndarray) -> None:
    try:
        from tensorflow_serving.apis import predict_pb2, prediction_log_pb2
    except ImportError as error:
        raise UserError("warm-up requests need another package; install it: pip install tf-spot[serving]") from error
    images = tf.constant(photos[:1], tf.float32)
    inputs = {
        "serving_default": ("images", images),
        "image_bytes": ("image_bytes", tf.stack([tf.io.encode_jpeg(photos[0])])),
    }
    path.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for signature, (key, value) in inputs.items():
            request = predict_pb2.PredictRequest()
            request.model_spec.name, request.model_spec.signature_name = name, signature
            request.inputs[key].CopyFrom(tf.make_tensor_proto(value))
            log = prediction_log_pb2.PredictLog(request=request)
            writer.write(prediction_log_pb2.PredictionLog(predict_log=log).SerializeToString())
