"""The values that a model's variables have now, to be written to a file while the model is trained on."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras.src.saving import saving_lib  # the public interface saves to files only

from tf_spot.runs.load import optimizers


class Snapshot:
    """The variables of a model, of its optimizers and of its metrics as they are now, in the host's memory.

    Taking it waits for the steps under way. The model's own weights are not copied on a CPU: TensorFlow does not
    overwrite what is still read, but lets the next update of a variable make a copy.

    Args:
        model: compiled.
    """

    def __init__(self, model: keras.Model) -> None:
        variables = [*model.variables, *(v for one in optimizers(model) for v in one.variables)]
        # Computed where the variables are, and fetched when it is asked for; counters are integers, always finite.
        self._finite = [
            (variable.path, tf.reduce_all(tf.math.is_finite(variable.value)))
            for variable in variables
            if tf.as_dtype(variable.dtype).is_floating
        ]
        recorder = _Recorder()
        saving_lib._save_state(model, recorder, None, inner_path="", visited_saveables=set())
        self._groups = recorder.groups

    @property
    def file_size(self) -> int:
        """Bytes of the weights on disk, with room for what HDF5 records about each array."""
        arrays = [value for _, _, group in self._groups for value in group.values()]
        sizes = (np.prod(value.shape, dtype=int) * tf.as_dtype(value.dtype).size + 4096 for value in arrays)
        return int(sum(sizes)) + 100_000

    def first_not_finite(self) -> str | None:
        """Return the path of the first variable that is NaN or infinite somewhere; None if there is none."""
        return next((path for path, finite in self._finite if not bool(finite)), None)

    def save_weights(self, path: str) -> None:
        """Write what `keras.Model.save_weights` would have written then; may be called in another thread."""
        store = saving_lib.H5IOStore(path, mode="w")
        for inner_path, metadata, group in self._groups:
            entry = store.make(inner_path, metadata=metadata)
            for name, value in group.items():
                entry[name] = np.asarray(value)
        store.close()


class _Recorder(saving_lib.H5IOStore):
    """A file of weights that is none: it notes what Keras puts into it."""

    def __init__(self) -> None:
        self.groups: list[tuple[str, Any, _Group]] = []

    def __bool__(self) -> bool:
        return True

    def make(self, path: str, metadata: Any = None) -> _Group:
        self.groups.append((path, metadata, _Group()))
        return self.groups[-1][2]


class _Group(dict[str, tf.Tensor | np.ndarray]):
    """The variables of one layer, optimizer or metric by name, in the host's memory."""

    def __setitem__(self, name: str, value: keras.Variable | np.ndarray) -> None:
        if isinstance(value, keras.Variable):
            with tf.device("CPU:0"):
                value = tf.identity(value.value)
        super().__setitem__(name, value)
