"""SavedModel with the file layout of TensorFlow Serving: images or encoded photos in, and warm-up requests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf

from tf_spot.errors import UserError
from tf_spot.exporters.decoding import decode_photo
from tf_spot.exporters.signature import Signature

WARM_UP = "assets.extra/tf_serving_warmup_requests"  # the path that TensorFlow Serving reads
_XLA = b"_XlaMustCompile"  # an attribute of functions that a stock TensorFlow Serving refuses


def write_saved_model(signature: Signature, folder: Path, photos: np.ndarray) -> None:
    """Write saved_model.pb with the signatures `serving_default` and `image_bytes`, and warm-up requests.

    For a classifier, `image_bytes` returns the class names beside the probabilities.

    Args:
        signature: what to write.
        folder: the version's folder, such as features/1.
        photos: uint8 (photos, size, size, 3); the first one goes into the warm-up requests.

    Raises:
        UserError: an operation needs XLA.
    """
    signature.image_bytes = _image_bytes(signature)  # also an attribute of the loaded object
    signatures = {"serving_default": signature.images, "image_bytes": signature.image_bytes}
    tf.saved_model.save(signature, str(folder), signatures=signatures)
    if _XLA in (folder / "saved_model.pb").read_bytes():
        raise UserError(
            "a SavedModel must run without XLA, as TensorFlow Serving does; received: a network with a function that "
            "only XLA compiles; export it as tflite or onnx"
        )
    _write_warm_up(folder / WARM_UP, signature.name, photos)


def write_plain(signature: Signature, folder: Path) -> None:
    """Write a SavedModel with `serving_default` alone, which the TFLite converter starts from."""
    tf.saved_model.save(signature, str(folder), signatures={"serving_default": signature.images})


def _image_bytes(signature: Signature) -> Callable[[tf.Tensor], dict[str, tf.Tensor]]:
    size = signature.image_size

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, "image_bytes")])
    def image_bytes(image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        images = tf.map_fn(
            lambda file: decode_photo(file, size),
            image_bytes,
            fn_output_signature=tf.TensorSpec((size, size, 3), tf.float32),
            # One after the other: the largest photo allowed takes 300 MB until it is resized. Servers run batches
            # beside each other.
            parallel_iterations=1,
        )
        outputs = signature.images(images)
        if signature.class_names is None:
            return outputs
        names = tf.constant([list(signature.class_names)])
        return outputs | {"class_names": tf.repeat(names, tf.shape(images)[0], axis=0)}  # (batch, classes)

    return image_bytes


def _write_warm_up(path: Path, name: str, photos: np.ndarray) -> None:
    """Write one request per signature; TensorFlow Serving runs them before it serves the version."""
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
