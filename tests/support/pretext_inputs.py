"""What the networks of a pretext task are given, recorded."""

from __future__ import annotations

import keras
import pytest
import tensorflow as tf

from tf_spot.baselines.pretext import Pretext


def inputs_of(network: keras.layers.Layer, model: Pretext, images: tf.Tensor, step: int = 0) -> tf.Tensor:
    """Return what `network` is given while the task's metrics of one batch are computed, at inference."""
    seen = []
    kind = type(network)
    call = kind.call

    def recording(self, inputs, *args, **kwargs):
        seen.append(inputs)
        return call(self, inputs, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kind, "call", recording)
        model.task_metrics(images, None, step, training=False)
    (only,) = seen
    return only
