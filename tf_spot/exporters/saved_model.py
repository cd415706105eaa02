"""SavedModel: arrays or encoded photos in; laid out for TensorFlow Serving, with requests to warm up with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tf_spot.errors import UserError
from tf_spot.exporters.decoding import decoded
from tf_spot.exporters.signature import Part

WARM_UP = "assets.extra/tf_serving_warmup_requests"  # where TensorFlow Serving looks
_XLA = b"_XlaMustCompile"  # a stock TensorFlow Serving refuses functions that ask for it


def write_saved_model(part: Part, folder: Path, photos: np.ndarray) -> None:
    """Writes saved_model.pb with the signatures `serving_default` and `image_bytes`, and warm-up requests.

    Of a classifier `image_bytes` gives the names of the classes beside their probabilities.

    Raises:
        UserError: an operation would need XLA.
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
            lambda file: decoded(file, size),
            image_bytes,
            fn_output_signature=tf.TensorSpec((size, size, 3), tf.float32),
        )
        answers = part.images(images)
        if part.class_names is None:
            return answers
        names = tf.constant([list(part.class_names)])
        return answers | {"class_names": tf.repeat(names, tf.shape(images)[0], axis=0)}  # (batch, classes)

    return image_bytes


def _write_warm_up(path: Path, name: str, photos: np.ndarray) -> None:
    from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

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
