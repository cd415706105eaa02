"""What is exported: a part of a trained network as one function of photos, normalisation inside."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from tf_spot.config import Config
from tf_spot.data import open_source
from tf_spot.errors import UserError
from tf_spot.models.classifier import Classifier
from tf_spot.models.spotter import ArtifactSpotter
from tf_spot.visualization.pictures import to_uint8

Model = ArtifactSpotter | Classifier

PARTS = ("features", "spotter", "classifier")
OUTPUTS = {
    "conv1": "map of the backbone",
    "conv2": "map of the backbone",
    "conv3": "map of the backbone",
    "conv4": "map of the backbone",
    "conv5": "map of the backbone",
    "embedding": "conv5 averaged over the map",
    "artifact_score": "probability that the image was repaired",
    "heat_map": "probability that the cell was repaired",
    "probabilities": "probability of each class, in the order of class_names",
}
_READ_AT_MOST = 512  # photos of a source, of which the sample is taken evenly


class Part(tf.Module):
    """One part of a trained network.

    Args:
        model: a trained `ArtifactSpotter`; for `classifier` a trained `Classifier`.
        name: `features`: conv1 ... conv5 (batch, h, w, channels) and `embedding` (batch, channels); `spotter`:
            `artifact_score` (batch,) and `heat_map` (batch, h, w), as in `tf_spot.spot`; `classifier`: `probabilities`
            (batch, classes).
        any_size: images may have any height and width; `features` only, as the heads of the others are dense layers on
            all cells of a map.

    Attributes:
        images: the tf.function; images float32 (batch, size, size, 3) in [0, 255] to a dict of float32 outputs.
        image_size: pixels, both sides of the photos that the model was trained on.
        class_names: of a classifier, else None.

    Raises:
        UserError: unknown part, another model than the part is of, no mask head for `spotter`, a model that does not
            compute in float32, or `any_size` of a part that is of one size.
    """

    def __init__(self, model: Model, name: str, *, any_size: bool = False) -> None:
        super().__init__(name=name)
        _refuse_model(model, name)
        if any_size and name != "features":
            raise UserError(
                f"--image-size dynamic is for the part features; received: {name}, whose dense layer reads all cells "
                "of a map of one size; leave the option out"
            )
        network: Any = model if isinstance(model, Classifier) else model.discriminator
        backbone = network.backbone
        if backbone.compute_dtype != "float32":
            raise UserError(f"export wants a model in float32; received: {backbone.compute_dtype}; load it so")
        self.image_size: int = network.image_size
        self.any_size = any_size
        self.class_names = list(network.class_names) if isinstance(network, Classifier) else None
        self.has_response_norm: bool = backbone.response_norm is not None
        side = None if any_size else self.image_size
        shape = (None, side, side, 3)
        answers = {"features": _features, "spotter": _spots, "classifier": _classes}[name]

        @tf.function(input_signature=[tf.TensorSpec(shape, tf.float32, "images")])
        def images(images: Any) -> dict[str, tf.Tensor]:
            return answers(network, backbone.of_pixels(images))

        self.images = images
        # The variables that the function reads, and no others: fc1 alone is larger than the whole backbone. A Keras
        # model held here would make the SavedModel ask for its classes' code.
        self.held = list(images.get_concrete_function().variables)


def _refuse_model(model: Model, name: str) -> None:
    if name not in PARTS:
        raise UserError(f"unknown part; allowed: {', '.join(PARTS)}; received: {name!r}")
    wanted = Classifier if name == "classifier" else ArtifactSpotter
    if not isinstance(model, wanted):
        load = "load_classifier" if name == "classifier" else "load_spotter"
        raise UserError(
            f"part {name} is of a {wanted.__name__}; received: {type(model).__name__}; give that of tf_spot.{load}(RUN)"
        )
    if name == "spotter" and model.discriminator.mask_head is None:
        raise UserError("part spotter needs the mask head; received: a spotter trained with game.predict_mask=false")


def _features(discriminator: Any, maps: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    return maps | {"embedding": tf.reduce_mean(maps["conv5"], axis=(1, 2))}


def _spots(discriminator: Any, maps: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    answers = discriminator.answers(maps)
    return {
        "artifact_score": tf.nn.softmax(answers["realness_logits"])[:, 0],
        "heat_map": tf.sigmoid(-answers["mask_logits"])[..., 0],
    }


def _classes(classifier: Any, maps: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    values = tf.reshape(maps["conv5"], (-1, classifier.head.kernel.shape[0]))
    return {"probabilities": tf.nn.softmax(classifier.head(values))}


def sample_photos(spec: str, config: Config, count: int) -> np.ndarray:
    """Up to `count` photos of a source, spread over it: uint8 (n, size, size, 3). Held-out photos come first.

    Raises:
        UserError: the source cannot be opened or holds no photo.
    """
    source = open_source(spec, config)
    batches: list[np.ndarray] = []
    for split in ("held_out", "unlabelled"):
        if source.count(split) and sum(map(len, batches)) < count:
            batches += source.images(split, 64).take(_READ_AT_MOST // 64).as_numpy_iterator()
    if not batches:
        raise UserError(f"an export is checked on photos; received: {spec}, which holds none that can be read")
    photos = np.concatenate(batches)
    chosen = np.unique(np.linspace(0, len(photos) - 1, count).round().astype(int))
    return to_uint8(photos[chosen])
