"""What is exported: one function from photos to named outputs, with the normalisation inside."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tf_spot.config import Config
from tf_spot.data import Source, open_source
from tf_spot.errors import UserError
from tf_spot.models.classifier import Classifier
from tf_spot.models.discriminator import Discriminator
from tf_spot.models.spotter import ArtifactSpotter
from tf_spot.runs.load import TrainedBackbone
from tf_spot.visualization.pictures import to_uint8

Exportable = ArtifactSpotter | Classifier | TrainedBackbone

Answers = Callable[..., dict[str, tf.Tensor]]  # of a network and its maps

PARTS = ("features", "spotter", "classifier")  # the values of --part and of the keyword `part`
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
BUNDLED = "bundled photos"  # what a manifest calls those of the source `photos`
_MAX_PHOTOS_READ = 512  # from each split of a source; the sample is spread evenly over them
_READ_BATCH = 64


class Signature(tf.Module):
    """The part of a trained network that is exported.

    Args:
        model: a trained `ArtifactSpotter`, or a backbone alone for `features`; for `classifier` a trained `Classifier`.
        name: `features`: conv1 ... conv5 (batch, h, w, channels) and `embedding` (batch, channels); `spotter`:
            `artifact_score` (batch,) and `heat_map` (batch, h, w), as in `tf_spot.spot`; `classifier`: `probabilities`
            (batch, classes).
        any_size: accept images of any height and width; `features` only, because the heads of the others are dense
            layers on all cells of a map.

    Attributes:
        images: the tf.function; images float32 (batch, size, size, 3) in [0, 255] to a dict of float32 outputs.
        image_size: pixels, both sides of the photos that the model was trained on.
        class_names: of a classifier, else None.

    Raises:
        UserError: an unknown part, a model that the part does not fit, no mask head for `spotter`, a model that does
            not compute in float32, or `any_size` with another part than `features`.
    """

    def __init__(self, model: Exportable, name: str, *, any_size: bool = False) -> None:
        super().__init__(name=name)
        _refuse_model(model, name)
        if any_size and name != "features":
            raise UserError(
                f"--image-size dynamic is for the part features; received: {name}, whose dense layer reads all cells "
                "of a map of one size; leave the option out"
            )
        network = model.discriminator if isinstance(model, ArtifactSpotter) else model
        backbone = network.backbone
        if any_size and backbone.input_size is not None:
            raise UserError(
                f"--image-size dynamic is for backbones that take images of any size; received: one for "
                f"{backbone.input_size} pixels; leave the option out"
            )
        if backbone.compute_dtype != "float32":
            raise UserError(
                f"export needs a model that computes in float32; received: {backbone.compute_dtype}; load it with "
                "tf_spot.load_spotter(RUN)"
            )
        self.image_size: int = network.image_size  # type: ignore[assignment]  # `_refuse_model` has looked
        self.any_size = any_size
        self.class_names = list(network.class_names) if isinstance(network, Classifier) else None
        self.has_response_norm: bool = backbone.response_norm is not None
        side = None if any_size else self.image_size
        shape = (None, side, side, 3)
        outputs: Answers = {"features": _features, "spotter": _scores, "classifier": _probabilities}[name]

        @tf.function(input_signature=[tf.TensorSpec(shape, tf.float32, "images")])
        def images(images: tf.Tensor) -> dict[str, tf.Tensor]:
            return outputs(network, backbone.of_pixels(images))

        self.images = images
        # Only the variables that the function reads: fc1 alone is larger than the whole backbone. The Keras model
        # itself must not be held here: loading the SavedModel would then need the code of its classes.
        self.held = list(images.get_concrete_function().variables)


def _refuse_model(model: Exportable, name: str) -> None:
    if name not in PARTS:
        raise UserError(f"unknown part; allowed: {', '.join(PARTS)}; received: {name!r}")
    wanted = Classifier if name == "classifier" else ArtifactSpotter
    if isinstance(model, TrainedBackbone) and name == "features" and model.image_size is not None:
        return
    if not isinstance(model, wanted):
        load = "load_classifier" if name == "classifier" else "load_spotter"
        raise UserError(
            f"part {name} needs a model of class {wanted.__name__}; received: {type(model).__name__}; load one with "
            f"tf_spot.{load}(RUN)"
        )
    if name == "spotter" and model.discriminator.mask_head is None:
        raise UserError("part spotter needs the mask head; received: a spotter trained with game.predict_mask=false")


def _features(network: object, maps: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    return maps | {"embedding": tf.reduce_mean(maps["conv5"], axis=(1, 2))}  # (batch, channels)


def _scores(discriminator: Discriminator, maps: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    logits = discriminator.answers(maps)
    return {
        "artifact_score": tf.nn.softmax(logits["realness_logits"])[:, 0],  # (batch,): class 0 is "corrupt"
        "heat_map": tf.sigmoid(-logits["mask_logits"])[..., 0],  # (batch, h, w): the mask is 1 where cells were kept
    }


def _probabilities(classifier: Classifier, maps: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    return {"probabilities": tf.nn.softmax(classifier.logits(maps))}  # (batch, classes)


def sample_photos(spec: str | Source, config: Config, count: int) -> np.ndarray:
    """Return up to `count` photos of a source, spread over it evenly; held-out photos come first.

    Returns:
        uint8 (photos, size, size, 3), RGB in [0, 255].

    Raises:
        UserError: the source cannot be opened or has no readable photo.
    """
    source = open_source(spec, config)
    batches: list[np.ndarray] = []
    for split in ("held_out", "unlabelled"):
        if source.count(split) and sum(map(len, batches)) < count:
            batches += source.images(split, _READ_BATCH).take(_MAX_PHOTOS_READ // _READ_BATCH).as_numpy_iterator()
    if not batches:
        raise UserError(
            f"an export is compared with the model on photos; received: {source.spec}, which has none that can be "
            "read; give others as --data"
        )
    photos = np.concatenate(batches)
    chosen = np.unique(np.linspace(0, len(photos) - 1, count).round().astype(int))
    return to_uint8(photos[chosen])
