"""A small spotter and classifier, photos to export them with, and one exported folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tf_spot.config import preset
from tf_spot.exporters import export
from tf_spot.exporters.signature import sample_photos
from tf_spot.models.classifier import Classifier
from tf_spot.models.from_config import build_autoencoder, build_spotter
from tf_spot.models.spotter import ArtifactSpotter

CONFIG = preset("tiny").replace(
    **{"network.width": 0.125, "network.fc_units": 8, "network.trunk_norm": "response", "training.batch_size": 4}
)
SIZE = CONFIG.data.image_size
NAMES = ["ant", "bee", "höhe"]


@pytest.fixture(scope="package")
def spotter() -> ArtifactSpotter:
    return build_spotter(CONFIG, build_autoencoder(CONFIG))


@pytest.fixture(scope="package")
def classifier(spotter: ArtifactSpotter) -> Classifier:
    return Classifier(spotter.backbone, NAMES, image_size=SIZE)


@pytest.fixture(scope="package")
def photos() -> np.ndarray:
    return sample_photos("photos", CONFIG, 100)


@pytest.fixture(scope="package")
def onnx_bundle(spotter: ArtifactSpotter, photos: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The features as ONNX; read-only, see `copy_of_bundle`."""
    folder = tmp_path_factory.mktemp("exports") / "onnx"
    export(spotter, folder, format="onnx", photos=photos, photos_name="bundled photos", config=CONFIG)
    return folder


@pytest.fixture
def copy_of_bundle(onnx_bundle: Path, tmp_path: Path) -> Path:
    """A copy of the exported folder, to be changed."""
    target = tmp_path / "copy"
    target.mkdir()
    for file in onnx_bundle.iterdir():
        (target / file.name).write_bytes(file.read_bytes())
    return target
