"""SavedModel with the file layout of TensorFlow Serving: images or encoded photos in, and warm-up requests.

The part `features` answers with the embedding alone unless it is asked for maps by the name of a signature: as JSON all
six outputs of one photo are hundreds of times as long.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf

from tf_spot.config import LAYERS
from tf_spot.errors import UserError
from tf_spot.exporters.decoding import decode_photo
from tf_spot.exporters.signature import Signature

WARM_UP = "assets.extra/tf_serving_warmup_requests"  # the path that TensorFlow Serving reads
Answer = Callable[[tf.Tensor], dict[str, tf.Tensor]]  # a batch to outputs by name
_XLA = b"_XlaMustCompile"  # an attribute of functions that a stock TensorFlow Serving refuses


def write_saved_model(signature: Signature, folder: Path, photos: np.ndarray) -> None:
    """Write saved_model.pb with the signatures of `answers`, and warm-up requests for the first two.

    For a classifier, `image_bytes` returns the class names beside the probabilities.

    Args:
        signature: what to write.
        folder: the version's folder, such as features/1.
        photos: uint8 (photos, size, size, 3); the first one goes into the warm-up requests.

    Raises:
        UserError: an operation needs XLA.
    """
    signature.image_bytes = _image_bytes(signature)  # also an attribute of the loaded object
    signatures = {name: _view(signature, name, outputs) for name, outputs in answers(signature.name).items()}
    tf.saved_model.save(signature, str(folder), signatures=signatures)
    if _XLA in (folder / "saved_model.pb").read_bytes():
        raise UserError(
            "a SavedModel must run without XLA, as TensorFlow Serving does; received: a network with a function that "
            "only XLA compiles; export it as tflite or onnx"
        )
    _write_warm_up(folder / WARM_UP, signature.name, photos)


def answers(part: str) -> dict[str, str | None]:
    """Return the signatures of a part, and the one output that each answers with; None: all of them.

    Those whose names begin with `image_bytes` take files, the others images.
    """
    if part != "features":
        return {"serving_default": None, "image_bytes": None}
    of_maps: dict[str, str | None] = {name: name for name in LAYERS}
    alone: dict[str, str | None] = {"serving_default": "embedding", "image_bytes": "embedding"}
    return alone | of_maps | {"maps": None, "image_bytes_maps": None}


def _view(signature: Signature, name: str, output: str | None) -> Answer:
    """Return a signature that answers with one output of the part, or with all of them."""
    whole = signature.image_bytes if name.startswith("image_bytes") else signature.images
    if output is None:
        return whole

    @tf.function(input_signature=whole.input_signature)
    def view(batch: tf.Tensor) -> dict[str, tf.Tensor]:
        return {output: whole(batch)[output]}

    return view


def write_plain(signature: Signature, folder: Path) -> None:
    """Write a SavedModel with `serving_default` alone, which the TFLite converter starts from."""
    tf.saved_model.save(signature, str(folder), signatures={"serving_default": signature.images})


def _image_bytes(signature: Signature) -> Answer:
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
