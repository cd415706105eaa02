"""Trained backbones that come with the package: read, and written by `studies/make_pretrained.py`.

tf_spot/pretrained/NAME.npz    the weights, float16 or float32, by map: conv1/0, conv1/1, ... conv5/0
tf_spot/pretrained/NAME.json   the card, see `cards`
"""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np

from tf_spot.config import LAYERS
from tf_spot.errors import UserError
from tf_spot.models.backbones import Backbone
from tf_spot.runs import cards
from tf_spot.runs.cards import Card, pretrained_card
from tf_spot.storage.files import file_digest, write_file, write_json

MAX_BYTES = 10_000_000  # of one file of weights: the package is downloaded with all of them


def load_pretrained(name: str) -> Backbone:
    """Load a trained backbone that comes with the package.

    Args:
        name: of its card, see `cards.pretrained_names`.

    Returns:
        the backbone, which computes in float32 whatever its file holds; its card is `pretrained_card(name)`.

    Raises:
        UserError: no backbone has that name, or its file was changed.
    """
    card, weights = pretrained_card(name), cards.FOLDER / f"{name}.npz"
    if not weights.is_file() or file_digest(weights) != card["sha256"]:
        raise UserError(
            f"the weights of {name} must have the SHA-256 {card['sha256']}; received: {weights}, missing or changed; "
            "install the package again"
        )
    backbone: Backbone = keras.saving.deserialize_keras_object(card["backbone"])
    with np.load(weights) as arrays:
        for key, variable in _variables(backbone).items():
            variable.assign(arrays[key].astype(np.float32))
    return backbone


def write_pretrained(name: str, backbone: Backbone, image_size: int, dtype: str, facts: Card) -> Card:
    """Write the files of a trained backbone, the card last.

    Args:
        name: of the files.
        backbone: computes in float32.
        image_size: pixels, both sides of the images that it was trained on.
        dtype: of the weights in the file, `float16` or `float32`.
        facts: what the card says besides: data and licence, command, cost, figures, limits.

    Returns:
        the card: `name`, `sha256` and `bytes` of the weights, `dtype`, `image_size`, `backbone` (Keras' configuration),
        and the facts.

    Raises:
        UserError: the weights are too large.
    """
    weights = cards.FOLDER / f"{name}.npz"
    arrays = {key: np.asarray(variable).astype(dtype) for key, variable in _variables(backbone).items()}
    write_file(weights, lambda aside: _save(aside, arrays))
    size = weights.stat().st_size
    if size > MAX_BYTES:
        weights.unlink()
        raise UserError(f"weights must have at most {MAX_BYTES:,} bytes; received: {size:,}; take a narrower network")
    card = {"name": name, "sha256": file_digest(weights), "bytes": size, "dtype": dtype, "image_size": image_size}
    card |= {"backbone": keras.saving.serialize_keras_object(backbone)} | facts
    write_json(cards.FOLDER / f"{name}.json", card)
    return card


def _save(path: Path, arrays: dict[str, np.ndarray]) -> None:
    with path.open("wb") as file:  # given a path, NumPy would append .npz
        np.savez_compressed(file, allow_pickle=False, **arrays)


def _variables(backbone: Backbone) -> dict[str, keras.Variable]:
    """Return the variables of a backbone, by the map that they help to make: conv1/0, conv1/1, ..."""
    return {
        f"{name}/{number}": variable
        for name, layers in zip(LAYERS, backbone.stages, strict=True)
        for number, variable in enumerate(variable for layer in layers for variable in layer.weights)
    }
