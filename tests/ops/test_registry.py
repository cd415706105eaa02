"""Registered classes are found again by this package's name."""

from __future__ import annotations

import keras
import pytest

from tf_spot.models.autoencoder import Autoencoder
from tf_spot.models.backbones import AlexNet
from tf_spot.models.spotter import ArtifactSpotter


@pytest.mark.parametrize(
    ("kind", "name"),
    [(Autoencoder, "Autoencoder"), (ArtifactSpotter, "ArtifactSpotter"), (AlexNet, "Backbone")],
)
def test_names_in_saved_files(kind: type, name: str) -> None:
    assert keras.saving.get_registered_name(kind) == f"tf_spot>{name}"
    assert keras.saving.get_registered_object(f"tf_spot>{name}") is kind
