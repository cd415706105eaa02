"""A trained backbone as a plain Keras model, to put other layers on."""

from __future__ import annotations

from pathlib import Path

import keras

from tf_spot.config import LAYERS
from tf_spot.errors import UserError
from tf_spot.runs.load import load_backbone


def feature_extractor(
    source: str | Path | keras.Model, layer: str = "conv4", pooling: str | None = "avg", trainable: bool = False
) -> keras.Model:
    """Make a functional Keras model from photos to one map of a trained backbone, or to its average.

    It has only the layers that the map needs, and copies of their weights. It works like any Keras model: in
    `Sequential`, in the functional API, with `fit`, saved and loaded.

    Args:
        source: a run folder; a .keras file of a spotter, discriminator, classifier or backbone, or such a model; or a
            name, see `load_pretrained`.
        layer: `conv1` to `conv5`.
        pooling: `avg`: the average over the map; None: the map itself.
        trainable: False freezes the backbone: its weights stay, and its batch norm is in inference mode, also under
            `fit`. `model.trainable = True` and a new `compile` train it later.

    Returns:
        a model of photos (batch, image_size, image_size, 3), RGB in [0, 255], uint8 or float; `image_size` is that of
        the training. It gives float32 (batch, channels), or (batch, h, w, channels) without pooling.

    Raises:
        UserError: an unknown source, layer or pooling.
    """
    if layer not in LAYERS:
        raise UserError(f"layer must be one of {', '.join(LAYERS)}; received: {layer!r}")
    if pooling not in ("avg", None):
        raise UserError(f"pooling must be 'avg' or None; received: {pooling!r}")
    trained, size = load_backbone(source)
    backbone = trained.cut(1 + LAYERS.index(layer))
    backbone.trainable = trainable
    photos = keras.Input((size, size, 3), name="photos")
    # In float32 whatever the user's policy: bfloat16 is too coarse for pixels.
    images = keras.layers.Rescaling(1 / 127.5, offset=-1.0, dtype="float32", name="scale")(photos)
    features = backbone(images)[layer]
    if pooling == "avg":
        features = keras.layers.GlobalAveragePooling2D(dtype="float32", name="average")(features)
    return keras.Model(photos, features)
