"""One loaded version of a model: its signatures, the inputs they take, and running them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Protocol

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.core.protobuf.meta_graph_pb2 import SignatureDef
from tensorflow_serving.apis import prediction_log_pb2

from tf_spot.serving.errors import ServingError
from tf_spot.serving.messages import Arrays

_TAG = "serve"
_WARM_UP = "assets.extra/tf_serving_warmup_requests"  # the path that TensorFlow Serving reads too
_INTERNAL_SIGNATURES = ("__saved_model_init_op", "__saved_model_train_op")
_ASSERTION = re.compile(r"assertion failed: \[(.*?)\]")  # what a graph's `Assert` says, first of its values
_CODES = {  # of tf.errors.OpError
    1: "CANCELLED",
    3: "INVALID_ARGUMENT",
    4: "DEADLINE_EXCEEDED",
    5: "NOT_FOUND",
    8: "RESOURCE_EXHAUSTED",
    9: "FAILED_PRECONDITION",
    11: "OUT_OF_RANGE",
    12: "UNIMPLEMENTED",
    15: "DATA_LOSS",
}


class Described(Protocol):
    """What `Servable.check` needs of an input."""

    @property
    def dtype(self) -> np.dtype | tf.DType: ...

    @property
    def shape(self) -> tuple[int, ...]: ...


class Servable:
    """A SavedModel in memory.

    Args:
        path: the folder with `saved_model.pb`.
        version: its number.

    Raises:
        ServingError: something in the folder is no regular file.
        Exception: anything that TensorFlow raises for a folder that is damaged or half copied.
    """

    def __init__(self, path: Path, version: int) -> None:
        self.version = version
        refuse_odd_files(path)
        self.signature_defs = _read_signatures(path)
        self._loaded = tf.saved_model.load(str(path), tags=[_TAG])
        self._warm_up(path / _WARM_UP)

    def signature(self, name: str) -> SignatureDef:
        """Return the SignatureDef, which describes inputs and outputs by name.

        Raises:
            ServingError: INVALID_ARGUMENT, the model has no such signature.
        """
        if name not in self.signature_defs:
            known = ", ".join(sorted(self.signature_defs))
            raise ServingError("INVALID_ARGUMENT", f"signature {name!r} is not in the model; it has: {known}")
        return self.signature_defs[name]

    def check(self, name: str, inputs: Mapping[str, Described]) -> None:
        """Refuse inputs that do not fit the signature, before they can fail a batch with requests of others.

        Args:
            name: of the signature.
            inputs: by name; arrays (batch, ...), or anything else with a dtype and a shape.

        Raises:
            ServingError: INVALID_ARGUMENT for names, dtypes or shapes that do not fit.
        """
        expected = self.signature(name).inputs
        if set(inputs) != set(expected):
            raise _bad(f"signature {name!r} takes inputs {sorted(expected)}, received {sorted(inputs)[:8]}")
        for key, array in inputs.items():
            info = expected[key]
            wanted, received = tf.as_dtype(info.dtype), tf.as_dtype(array.dtype)
            # Dtypes are not cast: TensorFlow Serving does not either.
            if received != wanted:
                raise _bad(f"input {key!r} must be {wanted.name}, received {received.name}")
            shape = tf.TensorShape(info.tensor_shape)
            if not shape.is_compatible_with(array.shape):
                raise _bad(f"input {key!r} must have shape {_shape_text(shape)}, received {_shape_text(array.shape)}")

    def batched(self, name: str) -> bool:
        """True if inputs of several requests can be run together: all have a free first axis."""
        shapes = [tf.TensorShape(info.tensor_shape) for info in self.signature(name).inputs.values()]
        # A scalar has rank 0, an input of unknown rank None: neither has rows.
        return bool(shapes) and all(shape.rank and shape[0] is None for shape in shapes)

    def run(self, name: str, inputs: Arrays) -> Arrays:
        """Run a signature on inputs that have passed `check`.

        Args:
            name: of the signature.
            inputs: (batch, ...) by name.

        Returns:
            (batch, ...) by name.

        Raises:
            ServingError: an operation of the model failed.
        """
        try:
            outputs = self._loaded.signatures[name](**{key: _tensor(array) for key, array in inputs.items()})
            return {key: np.asarray(value.numpy()) for key, value in outputs.items()}
        except tf.errors.OpError as error:
            raise ServingError(_CODES.get(error.error_code, "INTERNAL"), _short(error.message)) from error

    def _warm_up(self, file: Path) -> None:
        """Run the warm-up requests that came with the model, as the first run of a signature is slow."""
        if not file.exists():
            return
        for record in tf.data.TFRecordDataset(str(file)).as_numpy_iterator():
            request = prediction_log_pb2.PredictionLog.FromString(record).predict_log.request
            signature = request.model_spec.signature_name or "serving_default"
            inputs = {name: tf.make_ndarray(tensor) for name, tensor in request.inputs.items()}
            self.check(signature, inputs)
            self.run(signature, inputs)


def refuse_odd_files(folder: Path) -> None:
    """Refuse a folder with anything but regular files and folders: opening a FIFO or a device may never end.

    Raises:
        ServingError: FAILED_PRECONDITION, names the first.
    """
    for path in sorted(folder.rglob("*")):
        if not path.is_file() and not path.is_dir():
            raise ServingError("FAILED_PRECONDITION", f"{path.relative_to(folder)} is not a regular file")


def _read_signatures(path: Path) -> dict[str, SignatureDef]:
    # What TensorFlow loads has functions, but no longer their SignatureDefs, which metadata calls answer with.
    saved = saved_model_pb2.SavedModel()
    try:
        saved.ParseFromString((path / "saved_model.pb").read_bytes())
    except DecodeError as error:
        raise ServingError("DATA_LOSS", "saved_model.pb is not a SavedModel, or not all of it") from error
    for graph in saved.meta_graphs:
        if _TAG in graph.meta_info_def.tags:
            signatures: Mapping[str, SignatureDef] = graph.signature_def
            return {name: signatures[name] for name in signatures if name not in _INTERNAL_SIGNATURES}
    raise ServingError("DATA_LOSS", f"saved_model.pb has no graph with the tag {_TAG!r}")


def _tensor(array: np.ndarray) -> tf.Tensor:
    return tf.constant(array, tf.string if array.dtype == object else None)


def _short(message: str) -> str:
    """Return the message of an operation, without the trace of the graph around it."""
    # TensorFlow wraps the operation's own message: header lines, the message, then the nodes it went through.
    lines = [line.strip() for line in message.split("[[{{node")[0].splitlines()]
    own = [line for line in lines if line and not line.startswith(("Graph execution error", "Detected at node"))]
    text = own[-1] if own else message.strip()
    asserted = _ASSERTION.search(text)
    return (asserted[1] if asserted else text)[:500]


def _shape_text(shape: Iterable[int | None]) -> str:
    return "(" + ", ".join("any" if size is None else str(size) for size in shape) + ")"


def _bad(message: str) -> ServingError:
    return ServingError("INVALID_ARGUMENT", message)
